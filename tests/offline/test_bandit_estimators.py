"""Estimators of one step's reward: exact on whole populations, and by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_cli.offline.estimators import bandit
from recsys_cli.offline.estimators.reward_models import cross_fitted, direct, least_squares, most_robust
from tests.offline.populations import SLATES, USERS, slates

SEEDS = st.integers(0, 2**32 - 1)

# Worked out by hand: two actions, the target takes the first with .8, the behaviour with .5 and .4.
WEIGHT = np.array([1.6, 0.4, 2.0, 1 / 3])
REWARD = np.array([1.0, 0.0, 2.0, 3.0])
Q = np.array([1.0, 1.0, 1.0, 2.0])
V = np.array([1.0, 1.0, 1.2, 1.2])


def test_numbers_by_hand() -> None:
    assert bandit.ips(WEIGHT, REWARD)[0] == pytest.approx((1.6 + 0 + 4 + 1) / 4)
    assert bandit.snips(WEIGHT, REWARD)[0] == pytest.approx(6.6 / (4 + 1 / 3))
    residuals = [0, -0.4, 2.0, 1 / 3]
    assert bandit.dr(WEIGHT, REWARD, Q, V)[0] == pytest.approx(1.1 + sum(residuals) / 4)
    assert bandit.sndr(WEIGHT, REWARD, Q, V)[0] == pytest.approx(1.1 + sum(residuals) / (4 + 1 / 3))
    np.testing.assert_allclose(bandit.switched(WEIGHT, 1.6), [1.6, 0.4, 0, 1 / 3])
    np.testing.assert_allclose(bandit.shrunk(WEIGHT, 4.0), [6.4 / 6.56, 1.6 / 4.16, 1.0, (4 / 3) / (4 + 1 / 9)])


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_means_are_unbiased_whatever_the_model_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    log = slates(rng)
    reward, q = rng.normal(size=(2, USERS, len(SLATES)))
    truth, given_, weight = log.value(reward), log.of_rows(reward), log.weight
    model = (log.of_rows(q), log.mean(q))
    for value, influence in (
        bandit.ips(weight, given_),
        bandit.snips(weight, given_),
        bandit.dr(weight, given_, *model),
        bandit.sndr(weight, given_, *model),
    ):
        assert value == pytest.approx(truth)
        assert influence.mean() == pytest.approx(0, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_a_right_model_leaves_only_the_users_variance(seed: int) -> None:
    rng = np.random.default_rng(seed)
    log = slates(rng)
    reward = rng.normal(size=(USERS, len(SLATES)))
    some = rng.integers(0, len(log.user), 30)
    weight, q, v = log.weight[some], log.of_rows(reward)[some], log.mean(reward)[some]
    for estimated in (
        bandit.dr(weight, q, q, v),
        bandit.sndr(weight, q, q, v),
        bandit.switch_dr(weight, q, q, v).estimated,
        bandit.dros(weight, q, q, v).estimated,
    ):
        assert estimated[0] == pytest.approx(v.mean())
        np.testing.assert_allclose(estimated[1], v - v.mean(), atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_equal_policies_give_the_mean(seed: int) -> None:
    reward = np.random.default_rng(seed).normal(size=50)
    ones = np.ones(50)
    for estimated in (bandit.ips(ones, reward), bandit.snips(ones, reward)):
        assert estimated[0] == pytest.approx(reward.mean())
        np.testing.assert_allclose(estimated[1], reward - reward.mean())


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_influence_is_the_derivative_by_a_units_weight(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight, reward, q, v = rng.exponential(size=40), *rng.normal(size=(3, 40))
    step, unit = 1e-6, 7
    counts = np.full(40, 1.0)
    counts[unit] += step
    share = counts / counts.sum()
    _, influence = bandit.sndr(weight, reward, q, v)
    moved = share @ v + (share @ (weight * (reward - q))) / (share @ weight)
    slope = (moved - bandit.sndr(weight, reward, q, v)[0]) / step * 40
    assert influence[unit] == pytest.approx(slope, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("estimator", [bandit.switch_dr, bandit.dros])
def test_a_good_model_changes_weights_and_a_wrong_one_keeps_them(estimator: Callable[..., bandit.Biased]) -> None:
    rng = np.random.default_rng(0)
    log = slates(rng)
    rows = rng.integers(0, len(log.user), 20_000)
    reward = rng.normal(size=(USERS, len(SLATES)))
    seen = log.of_rows(reward)[rows] + 0.5 * rng.normal(size=len(rows))
    chosen = []
    for wrong in (0.0, 20.0):
        q = reward + wrong * (log.target / log.behaviour > 2)
        found = estimator(log.weight[rows], seen, log.of_rows(q)[rows], log.mean(q)[rows])
        value, influence = found.estimated
        assert abs(value - log.value(reward)) < found.bias + 4 * influence.std() / np.sqrt(len(rows))
        chosen.append(found.chosen)
    assert chosen[0] < chosen[1] == np.inf


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS)
def test_mrdr_has_the_least_variance_of_all_linear_models(seed: int) -> None:
    rng = np.random.default_rng(seed)
    log = slates(rng)
    features, reward = rng.normal(size=(USERS, len(SLATES), 3)), rng.normal(size=(USERS, len(SLATES)))
    logged, given_ = log.of_rows(features), log.of_rows(reward)
    target = np.einsum("um,umd->ud", log.target, features)[log.user]

    def variance(beta: np.ndarray) -> float:
        return float(bandit.dr(log.weight, given_, logged @ beta, target @ beta)[1].var())

    plain = least_squares(logged, given_, 1e-9)
    best = most_robust(log.weight, logged, target, given_, 1e-9, plain)
    assert variance(best) <= variance(plain) + 1e-9
    for _ in range(5):
        assert variance(best) <= variance(best + 0.1 * rng.normal(size=3)) + 1e-9


def test_cross_fitting_keeps_a_row_out_of_its_own_model() -> None:
    rng = np.random.default_rng(0)
    logged, target, reward, fold = (
        rng.normal(size=(30, 2)),
        rng.normal(size=(30, 2)),
        rng.normal(size=30),
        np.arange(30) % 3,
    )
    q, v = cross_fitted(lambda rows: least_squares(logged[rows], reward[rows], 1.0), logged, target, fold)
    reward[4] = 100.0
    again, _ = cross_fitted(lambda rows: least_squares(logged[rows], reward[rows], 1.0), logged, target, fold)
    same = fold == fold[4]
    np.testing.assert_allclose(q[same], again[same])
    assert (np.abs(q[~same] - again[~same]) > 1e-6).all()
    other = least_squares(logged[fold != 0], reward[fold != 0], 1.0)
    reward_free = target[fold == 0] @ other
    assert reward_free.shape == v[fold == 0].shape


def test_direct_methods_influence_is_the_derivative_by_a_rows_weight() -> None:
    rng = np.random.default_rng(0)
    clicked, target, reward = rng.normal(size=(40, 3)), rng.normal(size=(40, 3)), rng.normal(size=40)
    value, influence = direct(clicked, target, reward, 1e-9)
    assert influence.mean() == pytest.approx(0, abs=1e-9)
    for row in (3, 17):
        step = 1e-6
        counts = np.full(40, 1.0)
        counts[row] += step
        root = np.sqrt(counts)
        moved = counts @ target @ least_squares(clicked * root[:, None], reward * root, 1e-9) / counts.sum()
        assert influence[row] == pytest.approx((moved - value) / step * 40, rel=1e-3)
