"""Confidence intervals beside `base.from_influence`: BCa, refitting bootstrap, and empirical Bernstein as a bound."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from recsys_cli.offline.estimators.influence import Floats

Interval = tuple[float, float]
LEVEL = 0.95
RESAMPLES = 2_000
HELD = 2**22  # random numbers held at once


def bca(
    value: float, influence: Floats, *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Return the bias-corrected and accelerated bootstrap interval of a mean (Efron 1987).

    The jackknife of a mean is known in closed form, so the acceleration is a sixth of the influence's skewness over the
    root of n. For an estimate that is not a mean this is the interval of its linear part.

    Args:
        value: the estimate.
        influence: of every unit, `[n]`.
        level: of confidence.
        resamples: bootstrap samples.
        seed: of the resampling.
    """
    size, square = len(influence), float(np.square(influence).sum())
    if size < 2 or square == 0:
        return value, value
    rng, means, step = np.random.default_rng(seed), np.empty(resamples), max(HELD // size, 1)
    for first in range(0, resamples, step):
        drawn = rng.integers(0, size, (min(step, resamples - first), size))
        means[first : first + step] = influence[drawn].mean(1)
    acceleration = float((influence**3).sum()) / (6 * square**1.5)
    below = (means < 0).mean() + (means == 0).mean() / 2
    correction = float(ndtri(np.clip(below, 1 / resamples, 1 - 1 / resamples)))
    tails = correction + ndtri(np.array([(1 - level) / 2, (1 + level) / 2]))
    shares = ndtr(correction + tails / np.maximum(1 - acceleration * tails, 1e-9))
    low, high = value + np.quantile(means, shares)
    return float(low), float(high)


def bootstrap(
    of_counts: Callable[[NDArray[np.int64]], float],
    size: int,
    *,
    resamples: int = 1_000,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """Return the percentile interval of an estimate that is made anew, its model too, from every bootstrap sample.

    Args:
        of_counts: the estimate, from how often each unit was drawn, `[n]`.
        size: number of units, n.
        resamples: bootstrap samples.
        seed: of the resampling.
        level: of confidence.
    """
    rng = np.random.default_rng(seed)
    drawn = (np.bincount(rng.integers(0, size, size), minlength=size) for _ in range(resamples))
    low, high = np.quantile([of_counts(counts) for counts in drawn], [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def empirical_bernstein(terms: Floats, low: float, high: float, level: float = LEVEL) -> Interval:
    """Return bounds of a mean that hold at any sample size (Maurer & Pontil 2009, theorem 4), both sides together.

    Args:
        terms: independent, `[n]`.
        low: the least value that a term can have; known beforehand, not read off the sample.
        high: the greatest.
        level: of confidence.
    """
    n, log = len(terms), np.log(4 / (1 - level))
    if n < 2:
        return low, high
    half = np.sqrt(2 * terms.var(ddof=1) * log / n) + 7 * (high - low) * log / (3 * (n - 1))
    centre = float(terms.mean())
    return max(centre - float(half), low), min(centre + float(half), high)


def wilson(successes: int, trials: int, level: float = LEVEL) -> Interval:
    """Return the score interval of a rate (Wilson 1927)."""
    z, rate = float(ndtri((1 + level) / 2)), successes / trials
    centre = rate + z**2 / (2 * trials)
    half = z * np.sqrt(rate * (1 - rate) / trials + z**2 / (4 * trials**2))
    scale = 1 + z**2 / trials
    return float(centre - half) / scale, float(centre + half) / scale
