"""Evolution strategies and augmented random search: the population, common chances, updates, resuming."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recsys_cli.algos.es.training import centred_ranks
from recsys_cli.algos.evolution.weights import Moments, Weights
from recsys_cli.config.compose import compose
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.structured import load
from recsys_cli.networks.turns import in_turns
from recsys_cli.policies import UniformPolicy
from recsys_cli.rollouts.episodes import play

SATISFACTION = ("env=long_term_satisfaction", "env.num_candidates=20", "env.sensitivity=0.2")


def training(*words: str, seed: int = 0) -> Any:
    run = compose("train", ["resources=inline", *words])
    return run.algo.make_training(run, seed)


EXPLORATION = load("env", "interest_exploration").spec


@pytest.fixture
def weights() -> Weights:
    algo = load("algo", "es", network={"kind": "two_tower", "hidden": [8, 4], "doc_hidden": 3})
    return Weights(algo.make_policy(EXPLORATION, seed=1).network.values)


def test_networks_in_turns_compute_what_each_computes_alone(weights: Weights) -> None:
    vectors = torch.randn(3, weights.size)
    state, doc = torch.randn(6, weights.inputs), torch.rand(6, 5, len(EXPLORATION.documents))
    together = in_turns(weights.values, weights.by_name(vectors))(state, doc)
    for turn, vector in enumerate(vectors):
        alone = copy.deepcopy(weights)
        alone.put(vector)
        torch.testing.assert_close(alone.now(), vector)
        for got, expected in zip(together, alone.values(state[turn::3], doc[turn::3]), strict=True):
            torch.testing.assert_close(got[turn::3], expected)


def test_the_search_sees_the_same_function_of_normalised_states(weights: Weights) -> None:
    moments, rng = Moments(weights.inputs), np.random.default_rng(0)
    for part in np.split(rng.normal(3, 5, (100, weights.inputs)), 4):
        moments.add(part)
    mean, deviation = moments.normalisation()
    assert (abs(mean - 3) < 2).all() and (abs(deviation - 5) < 1.5).all()
    own = weights.now()[None]
    search = weights.of_search(own, moments)
    assert not torch.allclose(search, own)
    torch.testing.assert_close(weights.of_network(search, moments), own)
    state = torch.randn(4, weights.inputs)
    x = (state - torch.tensor(mean).float()) / torch.tensor(deviation).float()
    doc = torch.rand(4, 2, len(EXPLORATION.documents))
    expected = weights.values(state, doc)[0]
    weights.put(search[0])
    torch.testing.assert_close(weights.values(x, doc)[0], expected)


@pytest.mark.parametrize("problem", ["interest_evolution", "interest_exploration", "long_term_satisfaction", "groups"])
def test_neighbours_live_through_the_same_chances(problem: str) -> None:
    env, policy, rng = load("env", problem), UniformPolicy(2), np.random.default_rng(0)
    vec = env.make_vec(12)
    vec.share_chances(3)
    observation, _ = vec.reset(seed=4)
    rewards = []
    for _ in range(12):
        for name in ("user", "doc"):
            np.testing.assert_array_equal(observation[name][0::3], observation[name][2::3])
        assert not np.array_equal(observation["doc"][0], observation["doc"][3])
        slates = policy.distribution(observation).sample(rng)[::3].repeat(3, axis=0)
        observation, reward, *_ = vec.step(slates)
        np.testing.assert_array_equal(reward[0::3], reward[2::3])
        rewards.append(reward[0::3])
    assert len(np.unique(rewards)) > 1
    vec.close()


def test_ranks_keep_nothing_of_returns_but_their_order() -> None:
    np.testing.assert_allclose(centred_ranks(np.array([[3.0, 1e6], [-7.0, 4.0]])), [[-1 / 6, 0.5], [-0.5, 1 / 6]])


@pytest.mark.parametrize("name", ["es", "ars"])
def test_returns_that_have_a_maximum_lead_there(name: str) -> None:
    learner = training(f"algo={name}", "algo.lr=0.1", "algo.lr_schedule=constant", "algo.network.hidden=[]")
    rng = np.random.default_rng(0)
    goal = torch.randn(learner.weights.size)
    centre = torch.zeros_like(goal)
    for _ in range(300):
        noise = torch.from_numpy(rng.standard_normal((16, len(goal)), dtype=np.float32))
        sides = torch.stack([centre + 0.1 * noise, centre - 0.1 * noise])
        centre = centre + learner.move(centre, noise, -(sides - goal).square().sum(-1).double().numpy())
    assert (centre - goal).norm() < 0.5 * goal.norm()


@pytest.mark.parametrize("name", ["es", "ars"])
def test_stopped_it_continues_to_the_bit(name: str, tmp_path: Path) -> None:
    words = (f"algo={name}", "env.time_budget=30", "algo.population=4", "algo.episodes=2", "report_every=1")
    undisturbed, stopped = training(*words), training(*words)
    reports = [undisturbed.step() for _ in range(3)]
    assert stopped.step() == reports[0] and reports[0]["train/return"] > 0
    stopped.save(tmp_path)
    continued = training(*words)
    continued.restore(tmp_path)
    assert [continued.step() for _ in range(2)] == reports[1:] and continued.steps == undisturbed.steps
    for own, other in zip(undisturbed.policy().tensors().values(), continued.policy().tensors().values(), strict=True):
        np.testing.assert_array_equal(own, other)


@pytest.mark.parametrize("name", ["es", "ars"])
def test_it_gives_up_clickbait_for_later_returns(name: str) -> None:
    off = ("checkpoint.every=0", "evaluation.every=0")
    learner = training(*SATISFACTION, f"algo={name}", "steps=60_000", "report_every=60_000", *off)
    learner.step()
    assert play(learner.policy(), learner.env, 200, seed=1).returns.mean() > 1250  # random 966, myopic 601, oracle 1341


def test_what_cannot_be_searched_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"algo.population=7 must be even"):
        compose("train", ["algo=es", "algo.population=7"])
    with pytest.raises(ConfigError, match=r"algo.choice_model=true.*allowed: auto, none"):
        compose("train", ["algo=ars", "env=interest_exploration", "algo.choice_model=true"])
