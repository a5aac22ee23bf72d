"""Recorded transitions of recsim, replayed: through our formulas, and through the vectorised env itself."""

from __future__ import annotations

import numpy as np
import pytest
from parity import assert_calibrated, assert_standard_normal
from parity_cases import CASES, REFERENCE

from recsys_cli.envs.choice_models import choice_probabilities, single_item_score
from recsys_cli.envs.interest_evolution import (
    budget_after_watching,
    interest_rise_probability,
    interest_step,
    interest_update,
    quality_means,
)
from recsys_cli.envs.interest_exploration import document_scores
from recsys_cli.envs.long_term_satisfaction import exposure_mean, log_engagement_moments, satisfaction_of
from recsys_cli.envs.vector import SlateVectorEnv


def recorded(name: str) -> tuple:
    """Return the case's configuration and its transitions in float64."""
    with np.load(REFERENCE / f"{name}_transitions.npz") as file:
        arrays = {key: values.astype(np.float64) for key, values in file.items()}
    return CASES[name].config(), arrays


def check_choices(spec, scores: np.ndarray, clicks: np.ndarray) -> None:
    """Fail unless clicks `[n, k]` follow our choice model: overall, by position, and where scores are high."""
    probabilities = choice_probabilities(spec, scores)[:, :-1]
    order = np.argsort(scores, axis=1)
    for position in range(scores.shape[1]):
        assert_calibrated(clicks[:, position], probabilities[:, position], f"clicks at position {position}")
        ranked = (np.arange(len(order)), order[:, position])
        assert_calibrated(clicks[ranked], probabilities[ranked], f"clicks on the item of rank {position}")
    top = scores.max(axis=1) > np.median(scores.max(axis=1))
    for part in (top, ~top):
        assert_calibrated(clicks[part].sum(axis=1), probabilities[part].sum(axis=1), "clicks by best score")


@pytest.mark.parametrize("name", ["evolution_random", "evolution_parameters"])
def test_evolution_formulas(name: str) -> None:
    config, row = recorded(name)
    clicked = row["click"].any(axis=1)
    check_choices(config.spec.choice, row["affinity_before"], row["click"])
    assert row["budget_change"][~clicked] == pytest.approx(-config.step_penalty, abs=1e-6)
    assert (row["reward"][~clicked] == 0).all()

    at = (np.flatnonzero(clicked), row["click"][clicked].argmax(axis=1))
    interest, budget = row["affinity_before"][at], row["budget_before"][clicked]
    watch_time = np.minimum(budget, config.video_length)
    assert row["reward"][clicked] == pytest.approx(watch_time, rel=1e-6)
    utility = config.document_quality_factor * row["quality_before"][at]
    utility += config.user_quality_factor * single_item_score(config.spec.choice, interest)
    change = budget_after_watching(budget, watch_time, utility, config.user_update_alpha) - budget
    assert row["budget_change"][clicked] == pytest.approx(change, abs=3e-6)

    intercepts = config.alpha_x_intercept, config.alpha_y_intercept
    rises = (row["affinity_after"][at] > interest) == (interest_step(interest, *intercepts) > 0)
    assert row["affinity_after"][at] == pytest.approx(interest_update(interest, rises, *intercepts), abs=1e-6)
    moves = np.abs(row["affinity_after"][at] - interest) > 1e-6
    assert_calibrated(rises[moves], interest_rise_probability(interest)[moves], "interests that rise")


@pytest.mark.parametrize("name", ["evolution_random", "evolution_parameters"])
def test_evolution_env(name: str) -> None:
    """From recsim's states, wherever our user happens to do what recsim's did, all the rest is the same."""
    config, row = recorded(name)
    n, k = row["click"].shape
    env = CASES[name].config(num_candidates=k, resample_documents=False).make_vec(n)
    env.reset(seed=0)
    topics = row["topic_before"].astype(np.uint8)
    interests = np.full((n, config.num_topics), 0.5)
    np.put_along_axis(interests, topics.astype(int), row["affinity_before"], axis=1)
    put(env, _topics=topics, _interests=interests, _budget=row["budget_before"], _quality=row["quality_before"])
    observation, reward, terminated, _, _ = env.step(np.tile(np.arange(k), (n, 1)))

    click = observation["response"]["click"]
    check_choices(config.spec.choice, row["affinity_before"], click)
    same = (click == row["click"]).all(axis=1)
    assert same.mean() > 0.2
    assert reward[same] == pytest.approx(row["reward"][same], rel=1e-6)
    budget = row["budget_before"] + row["budget_change"]
    assert env.hidden_state()["budget"][same] == pytest.approx(budget[same], abs=5e-5)
    clear = np.abs(budget) > 1e-4
    assert (terminated[same & clear] == (budget <= 0)[same & clear]).all()

    at = (np.flatnonzero(same & click.any(axis=1)), click[same & click.any(axis=1)].argmax(axis=1))
    after = np.take_along_axis(observation["user"], topics.astype(int), axis=1)[at]
    up, expected = after > row["affinity_before"][at], row["affinity_after"][at]
    agree = up == (expected > row["affinity_before"][at])
    assert 0.4 < agree.mean() < 0.9
    assert after[agree] == pytest.approx(expected[agree], abs=1e-6)
    response = observation["response"]
    assert (response["cluster_id"] == topics).all()
    assert response["quality"] == pytest.approx(row["quality_before"].astype(np.float32))
    assert response["watch_time"].sum(axis=1) == pytest.approx(reward)
    untouched = np.ones_like(interests, bool)
    untouched[at[0], topics[at].astype(int)] = False
    untouched[~same] = False
    assert observation["user"][untouched] == pytest.approx(interests[untouched].astype(np.float32), abs=0)


def test_evolution_qualities_spread_about_their_topics_mean() -> None:
    config, row = recorded("evolution_random")
    residual = row["quality_before"] - quality_means(config)[row["topic_before"].astype(int)]
    assert_standard_normal(residual.ravel() / config.quality_stddev, "quality within its topic")


@pytest.mark.parametrize("name", ["exploration_random", "exploration_parameters"])
def test_exploration(name: str) -> None:
    config, row = recorded(name)
    check_choices(config.spec.choice, document_scores(row["affinity_before"], row["quality_before"]), row["click"])
    assert (row["reward"] == row["click"].sum(axis=1)).all()

    n, k = row["click"].shape
    env = CASES[name].config(num_candidates=k, resample_documents=False).make_vec(n)
    env.reset(seed=0)
    topics = row["topic_before"].astype(np.uint8)
    affinity = np.full((n, config.num_topics), 100.0)  # of topics not on the slate: clicked for sure were they used
    np.put_along_axis(affinity, topics.astype(int), row["affinity_before"], axis=1)
    put(env, _topics=topics, _affinity=affinity, _quality=row["quality_before"])
    observation, reward, _, _, _ = env.step(np.tile(np.arange(k), (n, 1)))
    response = observation["response"]
    check_choices(config.spec.choice, row["affinity_before"] + row["quality_before"], response["click"])
    assert (reward == response["click"].sum(axis=1)).all()
    assert (response["cluster_id"] == topics).all()
    assert response["quality"] == pytest.approx(row["quality_before"])


@pytest.mark.parametrize("name", ["satisfaction_random", "satisfaction_parameters"])
def test_satisfaction(name: str) -> None:
    config, row = recorded(name)
    clickbait, exposure = row["clickbait_before"], row["exposure_before"]
    before = satisfaction_of(exposure, config.sensitivity)
    assert before == pytest.approx(row["satisfaction_before"], abs=1e-6)
    after = satisfaction_of(exposure + row["exposure_change"], config.sensitivity)
    assert after == pytest.approx(row["satisfaction_after"], abs=1e-6)
    check_satisfaction_noise(config, row, row["exposure_change"], row["reward"])

    n = len(clickbait)
    env = CASES[name].config(num_candidates=1, slate_size=1, resample_documents=False).make_vec(n)
    env.reset(seed=0)
    put(env, _clickbait=clickbait[:, None, None], _exposure=exposure, _satisfaction=before)
    observation, reward, _, _, _ = env.step(np.zeros((n, 1), int))
    hidden = env.hidden_state()
    check_satisfaction_noise(config, row, hidden["net_positive_exposure"] - exposure, reward)
    assert hidden["satisfaction"] == pytest.approx(satisfaction_of(hidden["net_positive_exposure"], config.sensitivity))
    assert (hidden["time_budget"] == config.time_budget - 1).all()
    assert observation["response"]["engagement"][:, 0] == pytest.approx(np.minimum(reward, 100))


def check_satisfaction_noise(config, row: dict, exposure_change: np.ndarray, reward: np.ndarray) -> None:
    """Fail unless what is left after our means and deviations is standard normal, and the two noises independent."""
    clickbait, exposure = row["clickbait_before"], row["exposure_before"]
    mean = exposure_mean(exposure, clickbait, config.memory_discount)
    innovation = (exposure + exposure_change - mean) / config.innovation_stddev
    mean, stddev = log_engagement_moments(clickbait, row["satisfaction_before"], config)
    engagement = (np.log(reward) - mean) / stddev
    assert_standard_normal(innovation, "exposure")
    assert_standard_normal(engagement, "log engagement")
    for values in (innovation, engagement):
        assert_standard_normal(values[clickbait > 0.5], "with clickbait")
        assert_standard_normal(values[clickbait <= 0.5], "without clickbait")
    assert abs((innovation * engagement).mean()) * np.sqrt(len(reward)) < 4.5


def put(env: SlateVectorEnv, **arrays: np.ndarray) -> None:
    """Put users and candidates into the env, through its saved state."""
    state = env.get_state()
    for name, values in arrays.items():
        state["arrays"][name] = values.astype(state["arrays"][name].dtype)
    env.set_state(state)
