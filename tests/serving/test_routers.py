"""The routers' probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import stdtr, stdtrit

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.structured import load
from recsys_cli.serving.router.base import Arm
from recsys_cli.serving.router.best_mean import best_of, posteriors
from recsys_cli.serving.router.build import ROUTERS, build_router

NAMES = ("control", "b", "c", "d")
OPTIONS = ["thompson", "ucb1", "epsilon_greedy", "linucb", "ab_test", "shadow", "apprentice", "logging_only"]
NOBODY = np.zeros((1, 0))


def arm(*rewards: float) -> Arm:
    return Arm().plus(rewards)


def weights(option: str, arms: list[Arm], enabled: list[bool] | None = None, **changes: Any) -> list[float]:
    router = build_router(load("router", option, **changes), NAMES[: len(arms)])
    law = router.law(router.freeze(arms, {}), np.array(enabled or [True] * len(arms)))
    return list(law(NOBODY)[0])


def test_every_option_has_a_router() -> None:
    assert {type(load("router", option)) for option in OPTIONS} == set(ROUTERS)


@pytest.mark.parametrize("seed", range(3))
def test_thompson_s_shares_are_the_probabilities_of_being_best(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = rng.integers(0, 40, 4).astype(float)
    location, scale, freedom = posteriors(count, rng.normal(5, 1, 4) * (count > 0), rng.gamma(2, 3, 4) * count)
    # Monte Carlo with a draw from each of 50,000 strata; how often the others are below follows from each draw.
    drawn = location + scale * stdtrit(freedom, ((np.arange(50_000) + rng.random(50_000)) / 50_000)[:, None])
    best = [np.delete(stdtr(freedom, (drawn[:, [m]] - location) / scale), m, 1).prod(1).mean() for m in range(4)]
    assert best_of(location, scale, freedom) == pytest.approx(best, abs=1e-5)
    draws = location + scale * rng.standard_t(freedom, (100_000, 4))
    counted = np.bincount(draws.argmax(1), minlength=4) / len(draws)
    assert best_of(location, scale, freedom) == pytest.approx(counted, abs=6e-3)


def test_thompson_s_quadrature_holds_for_any_scales() -> None:
    narrow, wide = 1e-6, 1e3
    shares = best_of(np.array([0.0, 0.0, -1.0]), np.array([narrow, wide, narrow]), np.array([3.0, 50.0, 9.0]))
    assert shares == pytest.approx([0.5, 0.5, 0.0], abs=1e-6)
    assert best_of(np.zeros(5), np.full(5, 2.0), np.full(5, 2.0)) == pytest.approx([0.2] * 5, abs=1e-7)


def test_thompson_settles_on_the_best_and_keeps_the_floor() -> None:
    rng = np.random.default_rng(0)
    arms = [arm(*rng.normal(mean, 1, 200)) for mean in (0, 0, 1)]
    assert weights("thompson", arms) == pytest.approx([0.05, 0, 0.95], abs=1e-3)
    scaled = [arm(*rng.normal(1e6 * mean, 1e6, 200)) for mean in (0, 0, 1)]
    assert weights("thompson", scaled) == pytest.approx([0.05, 0, 0.95], abs=1e-3)


def test_before_any_reward_all_are_equal_above_the_floor() -> None:
    for option in ("thompson", "ucb1", "epsilon_greedy", "linucb"):
        assert weights(option, [Arm()] * 4) == pytest.approx([0.25] * 4)
        assert weights(option, [Arm()] * 4, floor=0.7) == pytest.approx([0.7, 0.1, 0.1, 0.1])


def test_rewards_without_spread_are_compared() -> None:
    assert weights("thompson", [arm(1, 1, 1), arm(1, 1, 1)], floor=0.0) == pytest.approx([0.5, 0.5])
    assert weights("thompson", [arm(*[1.0] * 50), arm(*[2.0] * 50)], floor=0.0)[1] > 0.99


def test_ucb1_prefers_the_uncertain_and_epsilon_greedy_the_mean() -> None:
    often, seldom = arm(*([1.0, 3.0] * 50)), arm(1.0, 2.9)
    assert weights("ucb1", [often, seldom], floor=0.0) == [0, 1]
    assert weights("ucb1", [often, seldom], floor=0.0, width=0) == [1, 0]
    assert weights("epsilon_greedy", [often, seldom], floor=0.0) == pytest.approx([0.95, 0.05])
    assert weights("ucb1", [often, Arm(), Arm()]) == pytest.approx([0.05, 0.475, 0.475])


def test_linucb_sends_each_user_to_their_policy() -> None:
    rng = np.random.default_rng(0)
    users = rng.choice([-1.0, 1.0], (400, 1))
    arms = [Arm().plus(sign * users[:, 0] + rng.normal(0, 0.1, 400), users) for sign in (1, -1)]
    router = build_router(load("router", "linucb"), NAMES[:2])
    law = router.law(router.freeze(arms, {}), np.array([True, True]))
    assert law(np.array([[1.0], [-1.0]])) == pytest.approx(np.array([[1, 0], [0.05, 0.95]]))
    alone = router.law(router.freeze(arms, {}), np.array([True, False]))
    assert alone(np.array([[-1.0]])) == pytest.approx(np.array([[1, 0]]))


def test_fixed_shares_are_kept_among_those_enabled() -> None:
    arms = [Arm()] * 3
    assert weights("ab_test", arms, shares=[0.5, 0.3, 0.2]) == pytest.approx([0.5, 0.3, 0.2])
    assert weights("ab_test", arms, [True, False, True], shares=[0.6, 0.3, 0.1]) == pytest.approx([6 / 7, 0, 1 / 7])
    assert weights("ab_test", arms, [True, False, False], shares=[0, 0.5, 0.5]) == [1, 0, 0]
    for option in ("shadow", "apprentice", "logging_only"):
        assert weights(option, arms) == [1, 0, 0]
    with pytest.raises(ConfigError, match="one is needed for each of 3 policies"):
        weights("ab_test", arms, shares=[0.5, 0.5])
    with pytest.raises(ConfigError, match=r"add up to 0\.9"):
        load("router", "ab_test", shares=[0.5, 0.4])


def looks(test: str, shift: float, seed: int, **changes: Any) -> list[dict[str, Any]]:
    """An A/B test of 2,000 observations a policy, looked at 40 times; return what was found at each look."""
    rng = np.random.default_rng(seed)
    router = build_router(load("router", "ab_test", test=test, horizon=4000, **changes), NAMES[:2])
    found: list[dict[str, Any]] = []
    arms, state = [Arm(), Arm()], {}
    for _ in range(40):
        arms = [each.plus(rng.normal(shift * m, 1, 50)) for m, each in enumerate(arms)]
        state = router.freeze(arms, state)
        found.append(state["comparisons"]["b"])
    return found


def test_the_sequential_test_may_be_looked_at_all_the_time() -> None:
    alarms = [any(look["significant"] for look in looks("sequential", 0.0, seed)) for seed in range(50)]
    assert sum(alarms) <= 3
    assert all(looks("sequential", 0.3, seed)[-1]["significant"] for seed in range(10))
    found = looks("sequential", 0.3, 0)
    assert [look["p_value"] for look in found] == sorted((look["p_value"] for look in found), reverse=True)
    assert found[-1]["interval"][0] < 0.3 < found[-1]["interval"][1]


def test_the_test_with_a_fixed_horizon_is_decided_once() -> None:
    for seed in range(20):
        found = looks("fixed_horizon", 0.0, seed)
        assert not any(look["significant"] or look["decided"] for look in found[:-1]) and found[-1]["decided"]
    found = looks("fixed_horizon", 0.3, 0)
    assert found[-1]["significant"] and found[-1]["interval"][0] > 0
    router = build_router(load("router", "ab_test", test="fixed_horizon", horizon=10), NAMES[:2])
    decided = router.freeze([arm(*range(10)), arm(*range(10, 20))], {})
    assert router.freeze([arm(0, 1), arm(0, 1)], decided)["comparisons"] == decided["comparisons"]
    other = build_router(load("router", "ab_test"), NAMES[:2])  # which begins anew
    assert other.freeze([arm(0, 1), arm(0, 1)], decided)["comparisons"]["b"]["p_value"] == 1.0


def test_alarms_are_shared_among_comparisons() -> None:
    router = build_router(load("router", "ab_test", alpha=0.06), NAMES)
    state = router.freeze([arm(*[0.0, 1.0] * 50), arm(*[0.0, 1.1] * 50), Arm(), arm(1.0)], {})
    assert state["level"] == pytest.approx(0.02) and list(state["comparisons"]) == ["b", "c", "d"]
    assert state["comparisons"]["c"] == {"difference": -0.5, "interval": None, "p_value": 1.0, "significant": False}


rewards = st.lists(st.floats(-1e9, 1e9), max_size=8)


@settings(max_examples=60, deadline=None)
@given(
    option=st.sampled_from(OPTIONS),
    batches=st.lists(rewards, min_size=1, max_size=4),
    off=st.sets(st.integers(1, 3)),
    floor=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_weights_are_probabilities_with_the_floor(
    option: str, batches: list[list[float]], off: set[int], floor: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    arms = [Arm().plus(batch, rng.normal(0, 1, (len(batch), 2))) for batch in batches]
    enabled = np.array([m not in off for m in range(len(arms))])
    router = build_router(load("router", option, floor=floor), NAMES[: len(arms)])
    found = router.law(router.freeze(arms, {}), enabled)(rng.normal(0, 1, (3, 2)))
    assert found.shape == (3, len(arms))
    assert (found >= 0).all() and found.sum(1) == pytest.approx(np.ones(3))
    assert (found[:, 0] >= floor - 1e-12).all() and not found[:, ~enabled].any()


@settings(max_examples=60, deadline=None)
@given(batch=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20), seed=st.integers(0, 9))
def test_an_arm_does_not_depend_on_the_order_of_its_batch(batch: list[float], seed: int) -> None:
    shuffled = list(np.random.default_rng(seed).permutation(batch))
    assert Arm().plus(batch) == Arm().plus(shuffled)
    assert Arm().plus(batch) == Arm().plus(batch[:1]).plus(batch[1:])
    assert Arm().plus(batch).mean == pytest.approx(np.mean(batch), abs=1e-6)
    assert Arm().plus(batch).scatter == pytest.approx(np.var(batch) * len(batch), rel=1e-6, abs=1e-3)
