"""Intervals and diagnostics of estimates."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from recsys_cli.offline.estimators import diagnostics, intervals
from recsys_cli.slates.distributions import PlackettLuceSlates, Uniform


def test_bca_is_that_of_scipy() -> None:
    """Scipy's jackknife is not in closed form, and its resampling is another."""
    sample = np.random.default_rng(0).exponential(size=60) ** 2
    theirs = stats.bootstrap((sample,), np.mean, n_resamples=20_000, method="BCa", rng=1).confidence_interval
    ours = intervals.bca(float(sample.mean()), sample - sample.mean(), resamples=20_000)
    np.testing.assert_allclose(ours, theirs, rtol=0.05)
    low, high = intervals.normal(float(sample.mean()), sample - sample.mean())
    assert ours[0] > low and ours[1] > high  # skewed to the right, as the sample


def test_intervals_of_a_constant_sample() -> None:
    assert intervals.bca(2.0, np.zeros(10)) == (2.0, 2.0)
    assert intervals.normal(2.0, np.zeros(1)) == (-np.inf, np.inf)


def test_a_bootstrap_makes_the_estimate_anew() -> None:
    sample = np.random.default_rng(0).normal(size=400)
    low, high = intervals.bootstrap(lambda counts: float(counts @ sample / counts.sum()), 400)
    expected = intervals.normal(float(sample.mean()), sample - sample.mean())
    np.testing.assert_allclose((low, high), expected, atol=0.02)


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


def test_weights_by_hand() -> None:
    weights = diagnostics.Weights.of(np.array([1.0, 3.0, 0.0, 4.0]))
    assert weights.effective == pytest.approx(64 / 26)
    assert (weights.mean, weights.largest, weights.share) == (2.0, 4.0, 0.5)
    assert weights.error == pytest.approx(np.std([1, 3, 0, 4], ddof=1) / 2)


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        (np.ones(1_000), None),
        (np.ones(40), "effective sample size 40.0"),
        (np.concatenate([np.full(400, 0.01), np.full(4, 1.0)]), "effective sample size"),
        (np.random.default_rng(0).uniform(0, 1, 1_000), "mean weight 0.5"),
        (np.concatenate([np.ones(1_000), [150.0]]), "one weight, 150, is 13%"),
    ],
)
def test_refusals(weight: np.ndarray, words: str | None) -> None:
    refusal = diagnostics.Weights.of(weight).refusal()
    assert refusal is None if words is None else words in str(refusal)


def test_collapsed_weights_are_refused() -> None:
    """Products of many ratios: nearly all are nearly 0, and their mean looks sure of itself."""
    ratios = np.random.default_rng(0).lognormal(-0.5, 1, (500, 70))
    assert diagnostics.Weights.of(ratios.prod(1)).refusal() is not None


def test_missing_support() -> None:
    target, behaviour = np.array([[0.5, 0.5, 0.0], [0.2, 0.2, 0.6]]), np.array([[0.5, 0.5, 0], [0.5, 0.5, 0]])
    assert diagnostics.missing_support(target, behaviour) == pytest.approx(0.3)
    assert diagnostics.missing_support_refusal(0.0) is None
    assert "30.0%" in str(diagnostics.missing_support_refusal(0.3))


def test_propensities_are_checked_by_their_moments() -> None:
    rng = np.random.default_rng(0)
    laws = {"uniform": Uniform(4_000, 6, 2), "scored": PlackettLuceSlates(0.7 * rng.normal(size=(4_000, 6)), 2)}
    for name, law in laws.items():
        slates = law.sample(rng)
        right = law.position_log_prob(slates)
        unordered = np.log(np.exp(law.log_prob(slates)) + np.exp(law.log_prob(slates[:, ::-1])))
        assert (diagnostics.propensity_moments(right, 6) < 3.5).all(), name
        wrong = {
            "base 10": right / np.log(10),
            "probability for a log": np.exp(right),
            "of the set": np.stack([right[:, 0], unordered - right[:, 0]], axis=1),
            "of another policy": right + 0.1,
        }
        for what, logged in wrong.items():
            assert diagnostics.propensity_moments(logged, 6).max() > 4, (name, what)
