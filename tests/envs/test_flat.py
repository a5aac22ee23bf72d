"""Flat observations and actions that cannot repeat a candidate, for other libraries."""

from __future__ import annotations

import warnings
from itertools import product
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import error
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st
from players import SHORT

from recsys_cli.config.errors import ConfigError
from recsys_cli.envs.flat import slates_of
from recsys_cli.envs.registration import env_ids

KINDS = {"together": {"flat": True}, "sequential": {"sequential": True}}


def make(problem: str, **keys: Any) -> gymnasium.Env:
    return gymnasium.make(dict(env_ids())[problem], **{**SHORT.get(problem, {}), **keys})


@pytest.mark.parametrize("candidates", [6, [1, 6]])
@pytest.mark.parametrize("kind", KINDS)
def test_gymnasium_accepts_it(problem: str, kind: str, candidates: Any) -> None:
    env = make(problem, num_candidates=candidates, slate_size=2, render_mode="ansi", **KINDS[kind])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(env.unwrapped)
    assert all("infinity" in str(warning.message) for warning in caught), [str(each.message) for each in caught]
    assert env.observation_space.dtype == np.float32


def test_an_observation_is_what_gymnasium_flattens(problem: str) -> None:
    plain, flat = make(problem, num_candidates=[1, 6]), make(problem, num_candidates=[1, 6], flat=True)
    space = plain.observation_space
    expected, vector = plain.reset(seed=3)[0], flat.reset(seed=3)[0]
    ended = False
    while not ended:
        np.testing.assert_array_equal(vector, gymnasium.spaces.flatten(space, expected).astype(np.float32))
        numbers = np.zeros(flat.action_space.shape, int)  # the first that are there
        there = int(expected["mask"].sum())
        slate = np.where(np.arange(len(numbers)) < there, np.arange(len(numbers)), -1)
        expected, reward, terminated, truncated, _ = plain.step(slate)
        ended = terminated or truncated
        vector, again, *_ = flat.step(numbers)
        assert again == reward


def test_every_slate_is_one_choice_of_numbers() -> None:
    numbers = np.array(list(product(range(5), range(4), range(3))))
    slates = slates_of(numbers, np.ones((len(numbers), 5), bool))
    assert len({tuple(slate) for slate in slates.tolist()}) == 60
    assert all(len(set(slate)) == 3 for slate in slates.tolist())
    assert slates[0].tolist() == [0, 1, 2] and slates[-1].tolist() == [4, 3, 2]


@given(data=st.data())
def test_any_numbers_make_a_slate_of_what_is_there(data: st.DataObject) -> None:
    width = data.draw(st.integers(1, 7))
    size = data.draw(st.integers(1, width))
    free = np.array(data.draw(st.lists(st.lists(st.booleans(), min_size=width, max_size=width), min_size=1)))
    numbers = np.array([data.draw(st.lists(st.integers(0, 9), min_size=size, max_size=size)) for _ in free])
    for slate, there in zip(slates_of(numbers, free).tolist(), free, strict=True):
        filled = [item for item in slate if item >= 0]
        assert slate == filled + [-1] * (size - len(filled)) and len(filled) == min(size, there.sum())
        assert len(set(filled)) == len(filled) and there[filled].all()


@pytest.mark.parametrize("candidates", [7, [1, 7]])
def test_users_in_lock_step(problem: str, candidates: Any) -> None:
    keys = {**SHORT.get(problem, {}), "num_candidates": candidates, "flat": True}
    vec = gymnasium.make_vec(dict(env_ids())[problem], num_envs=5, **keys)
    observation, _ = vec.reset(seed=1)
    vec.action_space.seed(0)
    ended, ends = np.zeros(5, bool), 0
    for _ in range(40):
        assert observation in vec.observation_space and observation.dtype == np.float32
        actions = vec.action_space.sample()
        actions[ended] = -7  # ignored
        observation, reward, terminated, truncated, _ = vec.step(actions)
        assert not reward[ended].any() and not (terminated | truncated)[ended].any()
        ended = terminated | truncated
        ends += ended.sum()
    assert ends > 5
    with pytest.raises(ValueError, match="actions must be integers in"):
        vec.step(np.full((5, vec.action_space.shape[1]), 7))


def test_one_of_the_users_in_lock_step_is_a_single_user(problem: str) -> None:
    one, vec = (
        make(problem, flat=True),
        gymnasium.make_vec(dict(env_ids())[problem], num_envs=1, flat=True, **SHORT.get(problem, {})),
    )
    assert (one.reset(seed=4)[0] == vec.reset(seed=4)[0][0]).all()
    one.action_space.seed(0)
    ended = False
    while not ended:
        numbers = one.action_space.sample()
        observation, _, terminated, truncated, _ = one.step(numbers)
        assert (observation == vec.step(numbers[None])[0][0]).all()
        ended = terminated or truncated


def test_a_slate_in_steps(problem: str) -> None:
    plain, env = (make(problem, num_candidates=5, slate_size=3, sequential=kind) for kind in (False, True))
    plain.reset(seed=2)
    first, info = env.reset(seed=2)
    assert env.observation_space.shape == (len(first),) and env.action_space.n == 5
    assert info["action_mask"].tolist() == [1] * 5 and not first[-5:].any()
    marked, reward, *_, info = env.step(3)
    assert (marked[:-5] == first[:-5]).all() and marked[-5:].tolist() == [0, 0, 0, 1, 0] and reward == 0
    assert info["action_mask"].tolist() == [1, 1, 1, 0, 1]
    marked, *_ = env.step(3)  # taken: the next
    assert marked[-5:].tolist() == [0, 0, 0, 1, 1]
    assert env.unwrapped.action_masks().tolist() == [True, True, True, False, False]
    last, reward, *_ = env.step(4)  # taken, and the last: from the first on
    expected = plain.step([3, 4, 0])
    assert reward == expected[1] and not last[-5:].any() and env.unwrapped.action_masks().all()


def test_few_candidates_make_short_slates_in_as_many_steps() -> None:
    env = make("long_term_satisfaction", num_candidates=[1, 3], slate_size=3, sequential=True, time_budget=40)
    _, info = env.reset(seed=0)
    for _ in range(20):
        there, steps, reward = int(info["action_mask"].sum()), 0, 0.0
        while reward == 0:
            _, reward, *_, info = env.step(0)
            steps += 1
        assert steps == there


def test_steps_need_a_reset_and_numbers_in_range() -> None:
    env = make("long_term_satisfaction", time_budget=1, sequential=True).unwrapped
    with pytest.raises(error.ResetNeeded):
        env.step(0)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"action 10 must be in Discrete\(10\)"):
        env.step(10)
    env.step(0)
    assert env.step(1)[2]
    with pytest.raises(error.ResetNeeded):
        env.step(0)


def test_what_is_for_single_users_is_refused_for_several() -> None:
    for key in ({"sequential": True}, {"render_mode": "ansi"}):
        with pytest.raises(ConfigError, match="is for single users; allowed here: vectorization_mode='sync'"):
            gymnasium.make_vec("recsys/InterestEvolution-v0", num_envs=2, **key)
    env = gymnasium.make_vec(
        "recsys/InterestEvolution-v0", num_envs=2, vectorization_mode="sync", sequential=True, render_mode="ansi"
    )
    env.reset(seed=0)
    env.step(env.action_space.sample())
    assert "interest_evolution: step 0" in env.render()[0]
