"""Every bandit's policy on every problem: valid slates, tensors that come and go, greedy unless it explores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bandits import BANDITS, PAIRS, PROBLEMS

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.structured import load
from recsys_cli.policies.bandit import BanditPolicy
from recsys_cli.rollouts.collector import Collector

USERS = 16


def trained(algo: Any, env: Any, steps: int = 3, seed: int = 0) -> tuple[BanditPolicy, dict[str, Any]]:
    """A policy after some exploring lock-steps of learning, and the observation that comes next."""
    policy = algo.make_policy(env.spec, seed)
    collector, rng = Collector(env, USERS, seed=seed), np.random.default_rng(seed)
    collector.remember(policy.new_memory(USERS))
    for _ in range(steps):
        policy.learn(collector.collect(1, policy.behaviour, rng).transitions())
    return policy, collector.memory.extend(collector.observation)


@pytest.mark.parametrize(("name", "problem"), PAIRS)
@pytest.mark.parametrize("changes", [{"slate_size": 3}, {"num_candidates": 4, "slate_size": 4}])
def test_acts_with_valid_slates(name, problem, changes):
    env = load("env", problem, **changes)
    policy, observation = trained(load("algo", name), env)
    space = env.make_vec(USERS).single_action_space
    for explore in (False, True):
        law = policy.behaviour(observation) if explore else policy.distribution(observation)
        slates = law.sample(np.random.default_rng(0))
        assert slates.shape == (USERS, env.slate_size) and slates.dtype == np.int64
        assert all(space.contains(slate) for slate in slates)
    greedy, again = (policy.distribution(observation) for _ in range(2))
    np.testing.assert_array_equal(greedy.mode(), again.mode())
    assert not greedy.log_prob(again.mode()).any()


@pytest.mark.parametrize(("name", "problem"), PAIRS)
def test_tensors_come_and_go_and_another_s_are_refused(name, problem):
    env, algo = load("env", problem), load("algo", name)
    policy, observation = trained(algo, env)
    fresh = algo.make_policy(env.spec)
    fresh.load_tensors(policy.tensors())
    np.testing.assert_array_equal(fresh.distribution(observation).mode(), policy.distribution(observation).mode())
    other = algo.make_policy(load("env", next(p for p in PROBLEMS if p != problem)).spec)
    with pytest.raises(ConfigError, match="do not fit") as refusal:
        other.load_tensors(policy.tensors())
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("name", "problem"), PAIRS)
def test_what_it_draws_comes_from_the_stream_it_was_given(name, problem):
    env = load("env", problem)
    policy, observation = trained(load("algo", name), env)
    slates = []
    for seed in (1, 1):
        rng = np.random.Generator(np.random.SFC64(seed))
        slates.append([policy.behaviour(observation).sample(rng) for _ in range(3)])
    np.testing.assert_array_equal(*slates)


@pytest.mark.parametrize("name", BANDITS)
def test_learning_nothing_changes_nothing(name, assert_same):
    env = load("env", "interest_exploration")
    policy, _ = trained(load("algo", name), env)
    before = policy.tensors()
    collector = Collector(env, 2, seed=0)
    collector.remember(policy.new_memory(2))
    chunk = collector.collect(1, policy.distribution, np.random.default_rng(0))
    chunk.valid[:] = False
    assert policy.learn(chunk.transitions()) == 0.0
    assert_same(policy.tensors(), before)
