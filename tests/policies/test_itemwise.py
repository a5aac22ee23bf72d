"""Item-wise features: values and mean features agree on every problem."""

from __future__ import annotations

import numpy as np
import pytest

from recsys_cli.config.structured import load
from recsys_cli.policies import UniformPolicy
from recsys_cli.rollouts.collector import Collector
from recsys_cli.rollouts.replay import CandidateRing, ReplayBuffer

PROBLEMS = ["interest_evolution", "interest_exploration", "long_term_satisfaction"]


def rows_of(problem: str, memory: str):
    """A policy with random weights, and transitions of random slates."""
    env = load("env", problem, num_candidates=6, slate_size=3)
    policy = load("algo", "lspi", memory=memory, fourier=7).make_policy(env.spec, seed=3)
    collector = Collector(env, 8, seed=1)
    collector.remember(policy.new_memory(8))
    chunk = collector.collect(80, UniformPolicy(3).distribution, np.random.default_rng(0))
    buffer = ReplayBuffer(1_000, 1, 0, ring=CandidateRing)
    buffer.add(chunk)
    ring = buffer.rings[0]
    at = ring.usable()
    assert len(at) == chunk.valid[:-1].sum() and (np.diff(at) > 0).all()
    columns = ring.gather(at, 1.0)
    columns["terminated"] = columns["bootstrap"] == 0
    policy.learn_basis(columns)
    policy.values.weights = np.random.default_rng(2).normal(size=policy.features.size)
    return policy, columns


@pytest.mark.parametrize("memory", ["none", "raw", "documents"])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_value_of_a_click_is_its_features_times_the_weights(problem: str, memory: str) -> None:
    policy, columns = rows_of(problem, memory)
    features, blocks = policy.features, list(policy.features.blocks)
    q, q_null = features.values(policy.values.weights, columns, columns["doc"])
    n, candidates = q.shape
    nothing = np.zeros((n, candidates))
    phi = features.expected(blocks, columns, columns["doc"], nothing, np.ones(n))
    assert phi.shape == (n, features.size)
    np.testing.assert_allclose(phi @ policy.values.weights, q_null)
    for item in range(candidates):
        one = nothing + (np.arange(candidates) == item)
        phi = features.expected(blocks, columns, columns["doc"], one, np.zeros(n))
        np.testing.assert_allclose(phi @ policy.values.weights, q[:, item])


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_part_of_the_blocks_has_their_columns(problem: str) -> None:
    policy, columns = rows_of(problem, "raw")
    features = policy.features
    doc, p = columns["slate_doc"], np.full(columns["slate_doc"].shape[:2], 0.25)
    p_null = 1 - p.sum(1)
    whole = features.expected(list(features.blocks), columns, doc, p, p_null)
    some = [name for name in features.blocks if name in ("state", "null", "limit", "item_limit")]
    part = features.expected(some, columns, doc, p, p_null)
    np.testing.assert_array_equal(part, whole[:, features.columns(some)])
    weights = np.zeros(features.size)
    weights[features.columns(some)] = policy.values.weights[features.columns(some)]
    q, _ = features.values(weights, columns, doc)
    np.testing.assert_allclose(
        (p * q).sum(1) + p_null * features.values(weights, columns, doc)[1], part @ weights[features.columns(some)]
    )


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_policy_is_restored_from_its_tensors(problem: str) -> None:
    policy, columns = rows_of(problem, "documents")
    other = type(policy)(policy.problem, "documents", 7, 0.1, seed=99)
    other.load_tensors(policy.tensors())
    np.testing.assert_array_equal(other.slates(columns), policy.slates(columns))
    law = other.posterior({name: columns[name] for name in ("user", "doc", "memory")})
    assert not law.exact and (law.sample(np.random.default_rng(0)) != policy.slates(columns)).any()
