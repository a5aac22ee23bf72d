"""Value features: means and values agree with each other; the budget of a session is found from its ends."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from recsys_cli.config.structured import load
from recsys_cli.envs.spec import Documents, Features
from recsys_cli.policies.memory import memory_features
from recsys_cli.policies.value_features import ValueFeatures, fit_budget

ENVS = ["interest_evolution", "interest_exploration", "long_term_satisfaction"]


@pytest.mark.parametrize("budget", [None, np.array([1.0, -0.5, 0.2, 0.1, 0.3])])
@pytest.mark.parametrize("kind", ["none", "raw", "documents"])
@pytest.mark.parametrize("name", [*ENVS, "dense"])
def test_values_are_inner_products_with_the_features(name: str, kind, budget) -> None:
    spec = load("env", "interest_evolution" if name == "dense" else name).spec
    if name == "dense":  # as many features as the user, but not one-hot
        spec = dataclasses.replace(spec, documents=Documents(Features.of(len(spec.user))))
    rng, n, candidates = np.random.default_rng(0), 7, 5
    observation = {
        "user": rng.normal(size=(n, len(spec.user))),
        "doc": rng.normal(size=(n, candidates, len(spec.documents))).astype(np.float32),
        "memory": rng.random((n, memory_features(kind, spec))),
    }
    if spec.documents.one_hot:
        observation["doc"] = rng.integers(0, spec.documents.topics, (n, candidates)).astype(np.uint8)
    if kind == "none":
        del observation["memory"]
    features = ValueFeatures(spec, memory_features(kind, spec), budget)
    weights = rng.normal(size=features.size)
    q, null = features.values(observation, weights)
    each = np.stack([features.of(observation, np.full(n, c)) @ weights for c in range(candidates + 1)], axis=1)
    np.testing.assert_allclose(np.concatenate([q, null[:, None]], axis=1), each)
    p = rng.dirichlet(np.ones(candidates + 1), n)
    np.testing.assert_allclose(features.expected(observation, p) @ weights, (p * each).sum(1))
    assert (features.expected(observation, p)[:, 0] == 1).all()
    if spec.documents.one_hot:  # a topic's number and its one-hot features are the same document
        dense = {**observation, "doc": spec.documents.dense(observation["doc"])}
        np.testing.assert_allclose(features.expected(dense, p), features.expected(observation, p))


def test_a_budget_is_learned_from_the_ends_of_sessions() -> None:
    rng, weights = np.random.default_rng(0), np.array([-0.5, 0.0, 0.4, -1.0])
    totals = rng.random((200, 60, 4)).cumsum(1) / 20
    left = 1 + totals @ weights
    over = left <= 0
    first = np.where(over.any(1), over.argmax(1), 59)
    rows = np.arange(60) <= first[:, None]
    learned = fit_budget(totals[rows], over[rows])
    assert learned is not None
    found = learned[0] + totals[rows] @ learned[1:]
    assert np.abs(found - left[rows]).max() < 0.1
    assert fit_budget(totals[rows], rng.random(rows.sum()) < 0.02) is None  # ends that have nothing to do with totals
    assert fit_budget(totals[rows], np.zeros(rows.sum(), bool)) is None
