"""Problems whose number of candidates varies: what is there, what may be shown, and how users choose among fewer."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.paths import conf_dir
from recsys_cli.config.structured import load
from recsys_cli.envs.choice_models import ChoiceModel, choice_weights, choose
from recsys_cli.envs.spec import ChoiceSpec
from recsys_cli.envs.vector import SlateVectorEnv

PROBLEMS = sorted(path.stem for path in (conf_dir() / "env").glob("*.yaml"))
N, K, FEWEST, MOST = 40, 3, 1, 6


def users(problem: str, **changes: Any) -> tuple[SlateVectorEnv, dict[str, Any]]:
    vec = load("env", problem, num_candidates=[FEWEST, MOST], slate_size=K, **changes).make_vec(N)
    return vec, vec.reset(seed=1)[0]


def full_slates(mask: np.ndarray) -> np.ndarray:
    there = mask.sum(axis=1, keepdims=True)
    return np.where(np.arange(K) < there, np.arange(K), -1)


@pytest.mark.parametrize("resample", [True, False])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_candidates_come_and_go(problem: str, resample: bool) -> None:
    vec, observation = users(problem, resample_documents=resample)
    counts = []
    for _ in range(12):
        assert observation in vec.observation_space
        mask = observation["mask"]
        assert not observation["doc"][~mask].any()
        counts.append(mask.sum(axis=1))
        slates = full_slates(mask)
        assert slates in vec.action_space
        drawn = vec.action_space.sample(mask)
        assert drawn in vec.action_space and (vec._checked(drawn, np.empty(0, int)) == drawn).all()
        observation, *_ = vec.step(slates)
        for values in observation["response"].values():
            assert not values[slates < 0].any()
    assert set(np.concatenate(counts)) == set(range(FEWEST, MOST + 1))
    assert (np.ptp(counts, axis=0) > 0).any() == resample


@pytest.mark.parametrize(
    ("slate", "why"),
    [
        ([0, 1, 2], "must hold 2 of the 2 candidates that are present, padded with -1"),  # 2 is not there
        ([0, -1, -1], "must hold 2 of the 2"),
        ([-1, 0, 1], "must hold 2 of the 2"),
        ([0, 0, -1], "holds a candidate twice"),
        ([0, -2, -1], "must hold 2 of the 2"),
    ],
)
def test_other_slates_are_refused(slate: list[int], why: str) -> None:
    vec, observation = users("interest_evolution")
    slates = full_slates(observation["mask"])
    slates[int(np.flatnonzero(observation["mask"].sum(axis=1) == 2)[0])] = slate
    with pytest.raises(ValueError, match=why):
        vec.step(slates)


def test_only_scores_of_documents_shown_must_be_defined() -> None:
    vec, observation = users("interest_exploration", choice_model="exponential_cascade", score_scaling=1e-6)
    slates = full_slates(observation["mask"])
    assert (slates[1:] < 0).any()
    vec._quality[:, -1] = 50.0  # where an empty position would look: the last candidate of the user before
    vec.step(slates)
    vec, observation = users("interest_exploration", choice_model="exponential_cascade", score_scaling=1e-6)
    vec._quality[:, 0] = 50.0
    with pytest.raises(ValueError, match="is defined for scores"):
        vec.step(full_slates(observation["mask"]))


def test_a_saved_env_goes_on_with_the_same_candidates() -> None:
    vec, observation = users("interest_exploration")
    vec.step(full_slates(observation["mask"]))
    state, seen = vec.get_state(), vec.observe()
    other, _ = users("interest_exploration")
    other.set_state(state)
    np.testing.assert_array_equal(other.observe()["mask"], seen["mask"])
    steps = [each.step(full_slates(seen["mask"]))[0] for each in (vec, other)]
    np.testing.assert_array_equal(steps[0]["mask"], steps[1]["mask"])
    np.testing.assert_array_equal(steps[0]["doc"], steps[1]["doc"])


@given(kind=st.sampled_from(get_args(ChoiceModel)), shown=st.integers(1, 4), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_a_shorter_slate_is_chosen_from_as_if_nothing_followed(kind: str, shown: int, seed: int) -> None:
    spec = ChoiceSpec(kind, True, no_click_mass=1.0, min_normalizer=-1.0, attention_prob=0.8, score_scaling=0.2)
    rng = np.random.default_rng(seed)
    scores, uniform = rng.uniform(-1, 1, (50, 4)), rng.random(50)
    there = np.broadcast_to(np.arange(4) < shown, scores.shape)
    weights, none = choice_weights(spec, scores, there)
    expected, expected_none = choice_weights(spec, scores[:, :shown])
    np.testing.assert_allclose(weights[:, :shown], expected)
    np.testing.assert_allclose(none, expected_none)
    assert not weights[:, shown:].any()
    choice, alone = choose(spec, scores, uniform, there), choose(spec, scores[:, :shown], uniform)
    np.testing.assert_array_equal(choice, np.where(alone == shown, 4, alone))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_candidates": [5, 3]}, r"env.num_candidates=\[5, 3\] must be a number, or \[fewest,most\]"),
        ({"num_candidates": [0, 3]}, r"env.num_candidates\[0\]=0 must be at least 1"),
        ({"num_candidates": [3]}, r"must be a number, or \[fewest,most\]"),
        ({"num_candidates": [2, 4], "slate_size": 5}, "env.slate_size=5 must be <= env.num_candidates=4"),
        ({"num_candidates": [5, 20], "backend": "recsim"}, "varies, which env.backend=recsim does not allow"),
    ],
)
def test_bad_numbers_are_refused_in_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load("env", "interest_evolution", **changes)
