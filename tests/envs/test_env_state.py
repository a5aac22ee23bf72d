"""Seeds, saved state, hidden state and the memory of what was returned, for every problem on either back end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import error
from players import SHORT, reset_and_play, same, trajectory, users

from recsys_cli.config.structured import load
from recsys_cli.envs.single import SlateEnv
from recsys_cli.envs.vector import SlateVectorEnv


def test_runs_repeat_with_their_seed(problem: str, backend: str) -> None:
    env = users(problem, backend=backend)
    first, again = reset_and_play(env, 10), reset_and_play(env, 10)
    other_object = reset_and_play(users(problem, backend=backend), 10)
    other_seed = reset_and_play(env, 10, seed=2)
    assert same(first, again)
    assert same(first, other_object)
    assert not same(first, other_seed)


def test_users_are_independent(problem: str, backend: str) -> None:
    observation, _ = users(problem, 40, backend=backend).reset(seed=3)
    assert len(np.unique(observation["doc"].reshape(40, -1), axis=0)) == 40


def test_unseeded_resets_go_on_with_the_stream(problem: str, backend: str) -> None:
    env = users(problem, backend=backend)
    observations = [env.reset(seed=1)[0], env.reset()[0], env.reset()[0]]
    repeated = [env.reset(seed=1)[0], env.reset()[0], env.reset()[0]]
    assert same(observations, repeated)
    assert not same(observations[1], observations[2])
    fresh = [users(problem, backend=backend) for _ in range(2)]
    assert fresh[0].np_random is not None  # asking for it makes gymnasium create one
    assert not same(*(env.reset()[0] for env in fresh))


def test_callers_random_numbers_are_left_alone(problem: str, backend: str) -> None:
    np.random.seed(7)
    expected = np.random.random(3)
    np.random.seed(7)
    first = reset_and_play(users(problem, backend=backend), 3)
    assert (np.random.random(3) == expected).all()
    np.random.seed(8)
    assert same(first, reset_and_play(users(problem, backend=backend), 3))


def test_what_was_returned_never_changes(problem: str, backend: str) -> None:
    env = users(problem, backend=backend)
    held = [env.reset(seed=1), *trajectory(env, 12)]
    env.reset(seed=1)
    for step, now in zip(held[1:], trajectory(env, 12), strict=True):
        assert same(step, now)
    holds_views = [env.observe()["doc"][1:, :1] for _ in range(3)]
    copies = [view.copy() for view in holds_views]
    trajectory(env, 5)
    assert same(holds_views, copies)


def test_writing_to_an_observation_changes_nothing(problem: str, backend: str) -> None:
    def spoilt(env: SlateVectorEnv) -> list[float]:
        observation, rewards = env.reset(seed=1)[0], []
        for _ in range(12):
            observation["user"][:], observation["doc"][:] = 0, 0
            for values in observation["response"].values():
                values[:] = 1
            observation, reward, *_ = env.step(np.tile([2, 1], (6, 1)))
            rewards.append(reward)
        return rewards

    env = users(problem, backend=backend, resample_documents=False)
    env.reset(seed=1)
    expected = [env.step(np.tile([2, 1], (6, 1)))[1] for _ in range(12)]
    assert same(spoilt(users(problem, backend=backend, resample_documents=False)), expected)


def test_hidden_state_is_a_copy_and_stays_hidden(problem: str, backend: str) -> None:
    env = users(problem, backend=backend)
    observation, _ = env.reset(seed=1)
    hidden = env.hidden_state()
    assert set(observation) == {"user", "doc", "response"}
    assert not set(hidden) & set(observation)
    for values in hidden.values():
        values[:] = 0
    assert any(values.any() for values in env.hidden_state().values())
    assert {key: values.shape for key, values in hidden.items()} == {
        "interest_evolution": {"budget": (6,), "quality": (6, 10)},
        "interest_exploration": {"user_type": (6,), "affinity": (6, 2)},
        "long_term_satisfaction": {"net_positive_exposure": (6,), "satisfaction": (6,), "time_budget": (6,)},
    }.get(problem, {key: values.shape for key, values in hidden.items()})


def test_shown_qualities_are_those_an_oracle_saw(backend: str) -> None:
    for resample in (True, False):
        env = users("interest_evolution", 30, backend=backend, resample_documents=resample, time_budget=200.0)
        env.reset(seed=1)
        for _ in range(3):
            quality = env.hidden_state()["quality"]
            assert (quality == env.hidden_state()["quality"]).all()
            response = env.step(np.tile([4, 6], (30, 1)))[0]["response"]
            assert (response["quality"] == quality[:, [4, 6]]).all()


def first_user(values: Any) -> Any:
    return {key: array[0] for key, array in values.items()} if isinstance(values, dict) else values[0]


def test_single_user_is_the_only_one_of_one(problem: str, backend: str) -> None:
    config = load("env", problem, backend=backend, **SHORT.get(problem, {}))
    single, vector = SlateEnv(config), config.make_vec(1)
    rng = np.random.default_rng(0)
    first, (many, _) = single.reset(seed=4)[0], vector.reset(seed=4)
    assert same(first["doc"], many["doc"][0])
    over = False
    while not over:
        slate = rng.permutation(10)[:2]
        observation, reward, terminated, truncated, _ = single.step(slate)
        many, rewards, *ends, _ = vector.step(slate[None])
        assert same(observation, {key: first_user(values) for key, values in many.items()})
        assert [reward, terminated, truncated] == [rewards[0], *(end[0] for end in ends)]
        over = terminated or truncated
    with pytest.raises(error.ResetNeeded):
        single.step(slate)


def test_saved_state_continues_exactly(problem: str) -> None:
    for resample in (True, False):
        env = users(problem, resample_documents=resample)
        reset_and_play(env, 8)
        env.hidden_state()
        state, observation = env.get_state(), env.observe()
        expected = trajectory(env, 30)
        other = users(problem, resample_documents=resample)
        other.set_state(state)
        assert same(other.observe(), observation)
        assert same(trajectory(other, 30), expected)
        env.set_state(state)
        assert same(trajectory(env, 30), expected)
        plain(state)


def plain(state: Any) -> None:
    """Fail unless the state is made of arrays, numbers, strings and dicts: nothing that needs pickle."""
    if isinstance(state, dict):
        for key, value in state.items():
            assert isinstance(key, str)
            plain(value)
    else:
        assert isinstance(state, np.ndarray | int | str)
        assert not isinstance(state, np.ndarray) or state.dtype != object


def test_recsim_says_that_it_cannot_be_saved(recsim_problem: str) -> None:
    env = users(recsim_problem, backend="recsim")
    env.reset(seed=0)
    assert env.get_state() is None
