"""Whole episodes and collected chunks against a naive loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recsys_cli.config.structured import load
from recsys_cli.policies import SlatePolicy, UniformPolicy
from recsys_cli.rollouts import episodes
from recsys_cli.rollouts.chunk import clicked_position
from recsys_cli.rollouts.collector import Collector, first_cuts
from recsys_cli.rollouts.episodes import play
from recsys_cli.slates.distributions import Uniform

PROBLEMS = {
    "interest_evolution": {"time_budget": 30.0},
    "interest_exploration": {"horizon": 7},
    "long_term_satisfaction": {"time_budget": 9},
}


class FirstItems(SlatePolicy):
    """Serves the first k candidates, or draws any; remembers which envs it watched."""

    def __init__(self, k, served_by_draws=False):
        self.slate_size, self.served_by_draws, self.watched = k, served_by_draws, []

    def watch(self, env):
        self.watched.append(env)

    def distribution(self, observation):
        return Uniform(*observation["doc"].shape[:2], self.slate_size)  # its mode are the first


def naive(env, users, seed):
    """Play every user to the first end, one Python number at a time."""
    vec = env.make_vec(users, doc_format="index" if env.spec.documents.one_hot else "dense")
    vec.reset(seed=seed)
    sums = [dict.fromkeys(("reward", "steps", "click", "watch_time", "quality"), 0.0) for _ in range(users)]
    over = [False] * users
    while not all(over):
        observation, reward, terminated, truncated, _ = vec.step(np.tile(np.arange(env.slate_size), (users, 1)))
        response = observation["response"]
        for i in range(users):
            if over[i]:
                continue
            sums[i]["reward"] += reward[i]
            sums[i]["steps"] += 1
            for j in range(env.slate_size):
                if response["click"][i, j]:
                    sums[i]["click"] += 1
                    for name in ("watch_time", "quality"):
                        if name in response:
                            sums[i][name] += response[name][i, j]
            over[i] = bool(terminated[i] or truncated[i])
    return {name: np.array([one[name] for one in sums]) for name in sums[0]}


@pytest.mark.parametrize("name", PROBLEMS)
def test_play_equals_a_naive_loop(name):
    env = load("env", name, **PROBLEMS[name])
    policy = FirstItems(env.slate_size)
    played, expected = play(policy, env, 40, 3), naive(env, 40, 3)
    np.testing.assert_allclose(played.returns, expected["reward"])
    np.testing.assert_array_equal(played.lengths, expected["steps"])
    np.testing.assert_array_equal(played.clicks, expected["click"])
    assert (played.watch_time is None) == (name != "interest_evolution")
    assert (played.quality is None) == (name == "long_term_satisfaction")
    for optional in ("watch_time", "quality"):
        if getattr(played, optional) is not None:
            np.testing.assert_allclose(getattr(played, optional), expected[optional], rtol=1e-5)
    assert len(policy.watched) == 1
    drawn = play(FirstItems(env.slate_size, served_by_draws=True), env, 40, 3)
    assert not np.array_equal(drawn.returns, played.returns)
    summary = played.summary()
    assert summary["return"] == pytest.approx(expected["reward"].mean())
    assert summary["clicks_per_step"] == pytest.approx(expected["click"].sum() / expected["steps"].sum())


@pytest.mark.parametrize(("limit", "value"), [("MAX_LOCKSTEP_USERS", 16), ("MAX_LOCKSTEP_DOCUMENTS", 160)])
def test_many_users_are_played_in_rounds_each_once(monkeypatch, limit, value):
    monkeypatch.setattr(episodes, limit, value)
    env = load("env", "interest_exploration", horizon=4)
    policy = FirstItems(2)
    played = play(policy, env, 45, 8)
    assert len(played) == 45 and (played.lengths == 4).all()
    assert [vec.num_envs for vec in policy.watched] == [15, 15, 15]
    assert not np.array_equal(played.quality[:15], played.quality[15:30]), "rounds must not repeat users"


def test_play_counts_what_is_finished_in_one_thread(monkeypatch):
    monkeypatch.setattr(episodes, "MAX_LOCKSTEP_USERS", 16)
    before, counted = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        env = load("env", "interest_exploration", horizon=4)
        play(FirstItems(2), env, 20, 8, lambda more: counted.append((more, torch.get_num_threads())))
        assert counted == [(0, 1), (0, 1), (0, 1), (10, 1)] * 2
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_play_is_a_function_of_its_seed():
    env = load("env", "long_term_satisfaction")
    one, two, other = (play(FirstItems(2), env, 30, seed).returns for seed in (1, 1, 2))
    assert np.array_equal(one, two) and not np.array_equal(one, other)


@pytest.mark.parametrize("name", PROBLEMS)
def test_collected_chunks_continue_each_other(name):
    env = load("env", name, **PROBLEMS[name])

    def collect(lengths):
        collector, random, rng = Collector(env, 20, seed=4), UniformPolicy(env.slate_size), np.random.default_rng(1)
        chunks = [collector.collect(length, random.distribution, rng, propensities=True) for length in lengths]
        return collector, chunks

    (one, [whole]), (two, parts) = collect([40]), collect([7, 13, 20])
    for field, values in whole.arrays():
        np.testing.assert_array_equal(values, np.concatenate([getattr(part, field) for part in parts]), err_msg=field)
    assert [part.start for part in parts] == [1, 8, 21]
    done, again = one.take_finished(), two.take_finished()
    assert done is not None and again is not None and one.take_finished() is None
    np.testing.assert_array_equal(done.returns, again.returns)
    # The step after an episode's end is no transition; every finished episode's steps and rewards are in the chunk.
    # First episodes that were cut, so that not all end together, are not among the finished ones.
    cuts = first_cuts(20, env.spec.horizon)
    assert len(done) == (~whole.valid).sum() + one.starting.sum() - np.count_nonzero(cuts)
    assert whole.terminated.sum() == (len(done) if env.spec.truncation is None else 0)
    assert done.lengths.sum() == len(whole) - one.sums.sums["steps"].sum() - cuts.sum()
    assert not whole.reward[~whole.valid].any()


def test_a_collector_goes_on_from_its_state():
    env = load("env", "interest_evolution", time_budget=30.0)

    first, rng = FirstItems(2).served, np.random.default_rng(0)
    one = Collector(env, 10, seed=0)
    one.collect(25, first, rng)
    one.take_finished()
    two = Collector(env, 10, seed=99)
    two.set_state(one.get_state())
    left, right = one.collect(25, first, rng), two.collect(25, first, rng)
    for name, values in left.arrays():
        np.testing.assert_array_equal(values, getattr(right, name), err_msg=name)
    assert left.start == right.start
    np.testing.assert_array_equal(one.take_finished().returns, two.take_finished().returns)


@pytest.mark.parametrize("k", [1, 2, 127, 128, 300])
def test_clicked_position_of_any_slate_size(k):
    click = np.zeros((3, k), np.int8)
    click[0, 0] = click[1, k - 1] = 1
    assert clicked_position(click).tolist() == [0, k - 1, k]
