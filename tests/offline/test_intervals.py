"""Intervals and diagnostics of estimates."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from recsys_cli.offline.estimators import diagnostics, intervals
from recsys_cli.offline.estimators.base import from_influence, why_refused
from recsys_cli.offline.estimators.influence import by_unit, mean


def test_bca_is_that_of_scipy() -> None:
    """Scipy's jackknife is not in closed form, and its resampling is another."""
    sample = np.random.default_rng(0).exponential(size=60) ** 2
    theirs = stats.bootstrap((sample,), np.mean, n_resamples=20_000, method="BCa", rng=1).confidence_interval
    ours = intervals.bca(float(sample.mean()), sample - sample.mean(), resamples=20_000)
    np.testing.assert_allclose(ours, theirs, rtol=0.05)
    symmetric = from_influence("mean", float(sample.mean()), sample)
    assert ours[0] > symmetric.low and ours[1] > symmetric.high  # skewed to the right, as the sample


def test_intervals_of_a_constant_sample() -> None:
    assert intervals.bca(2.0, np.zeros(10)) == (2.0, 2.0)


def test_a_bootstrap_makes_the_estimate_anew() -> None:
    sample = np.random.default_rng(0).normal(size=400)
    low, high = intervals.bootstrap(lambda counts: float(counts @ sample / counts.sum()), 400)
    expected = from_influence("mean", float(sample.mean()), sample)
    np.testing.assert_allclose((low, high), (expected.low, expected.high), atol=0.02)


def test_empirical_bernstein_by_hand_and_as_a_bound() -> None:
    """n=101, variance 1/4 * 101/100... with ln(4 / .05) = 4.382."""
    terms = np.arange(101) % 2.0
    half = np.sqrt(2 * terms.var(ddof=1) * 4.38203 / 101) + 7 * 4.38203 / 300
    np.testing.assert_allclose(
        intervals.empirical_bernstein(terms, 0, 1), 50 / 101 + np.array([-half, half]), rtol=1e-5
    )
    rng = np.random.default_rng(0)
    missed = 0
    for _ in range(400):
        low, high = intervals.empirical_bernstein((rng.random(200) < 0.02).astype(float), 0, 1)
        missed += not low <= 0.02 <= high
    assert missed <= 20


def test_wilson_by_hand() -> None:
    np.testing.assert_allclose(intervals.wilson(42, 10_000), (0.00311, 0.00567), atol=5e-6)
    assert intervals.wilson(0, 10)[0] == pytest.approx(0)


def test_weights_by_hand() -> None:
    weights = diagnostics.of_weights(np.array([1.0, 3.0, 0.0, 4.0]))
    expected = {"ess": 64 / 26, "mean_weight": 2.0, "largest_weight": 4.0, "largest_share": 0.5}
    assert weights == pytest.approx({**expected, "mean_weight_error": np.std([1, 3, 0, 4], ddof=1) / 2})
    paired = diagnostics.of_weights(np.array([1.0, 3.0, 0.0, 4.0]), np.array([0, 1, 0, 1]))
    assert paired["mean_weight_error"] == pytest.approx(np.std([0.5, 3.5], ddof=1) / np.sqrt(2))


def test_rows_of_one_unit_are_no_independent_rows() -> None:
    rows = np.repeat(np.random.default_rng(0).normal(size=100), 4)
    value, influence = by_unit(mean(rows), np.repeat(np.arange(100), 4))
    assert value == pytest.approx(rows.mean())
    np.testing.assert_allclose(influence, rows[::4] - value)


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        (np.ones(1_000), None),
        (np.ones(40), "amount to 40.0 samples"),
        (np.concatenate([np.full(400, 0.01), np.full(4, 1.0)]), "amount to"),
        (np.random.default_rng(0).uniform(0, 1, 1_000), "should be 1"),
        (np.concatenate([np.ones(1_000), [150.0]]), "13% of the sum"),
    ],
)
def test_refusals(weight: np.ndarray, words: str | None) -> None:
    refusal = why_refused(diagnostics.of_weights(weight))
    assert refusal is None if words is None else words in str(refusal)


def test_collapsed_weights_are_refused() -> None:
    """Products of many ratios: nearly all are nearly 0, and their mean looks sure of itself."""
    ratios = np.random.default_rng(0).lognormal(-0.5, 1, (500, 70))
    assert why_refused(diagnostics.of_weights(ratios.prod(1))) is not None
