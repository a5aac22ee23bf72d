"""Estimators of one step's mean reward: weights, rewards and a reward model in, value and influence out.

Arrays of n logged steps: `weight` pi(a | x) / mu(a | x) of the logged action (an item, a slate, or a click if it alone
matters), `reward`, `q` the model's reward of the logged action and `v` its mean under the target policy. `q` and `v` of
a step must come from other steps (`reward_models.cross_fitted`); then every interval here is honest.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from recsys_cli.offline.estimators.base import ratio_influence
from recsys_cli.offline.estimators.influence import Estimated, Floats, mean, plus

FAILURE = 0.05  # probability with which a bias bound may fail


def ips(weight: Floats, reward: Floats) -> Estimated:
    """Return the inverse propensity score estimate (Horvitz & Thompson 1952): unbiased."""
    return mean(weight * reward)


def snips(weight: Floats, reward: Floats) -> Estimated:
    """Return the self-normalised one (Swaminathan & Joachims 2015)."""
    return ratio_influence(weight * reward, weight)


def dr(weight: Floats, reward: Floats, q: Floats, v: Floats) -> Estimated:
    """Return the doubly robust estimate (Dudík, Langford & Li 2011, section 2.2): unbiased whatever the model says."""
    return mean(v + weight * (reward - q))


def sndr(weight: Floats, reward: Floats, q: Floats, v: Floats) -> Estimated:
    """Return the doubly robust estimate with self-normalised weights (Thomas & Brunskill 2016, for one step)."""
    return plus(mean(v), ratio_influence(weight * (reward - q), weight))


def switched(weight: Floats, threshold: float) -> Floats:
    """Return the weights up to a threshold; above it the model alone counts (SWITCH: Wang, Agarwal & Dudík 2017)."""
    return np.where(weight <= threshold, weight, 0.0)


def shrunk(weight: Floats, coefficient: float) -> Floats:
    """Return `c w / (w^2 + c)`, optimistic shrinkage (Su, Dimakopoulou, Krishnamurthy & Dudík 2020)."""
    return weight if np.isinf(coefficient) else coefficient * weight / (weight**2 + coefficient)


def switch_dr(weight: Floats, reward: Floats, q: Floats, v: Floats) -> tuple[Estimated, float, float]:
    """Return Switch-DR, a bound of its bias, and the threshold that minimises variance plus squared bias bound.

    The bound is the authors' (Wang et al. 2017): the probability that the target's action has a greater weight, times
    the largest error that the model could make there, for which the largest residual stands in. Thresholds are 21
    between the 5 % and the 95 % quantile of the weights, and none at all.
    """
    low, high = np.quantile(weight, [0.05, 0.95])
    thresholds = [*np.geomspace(max(low, 1e-12), max(high, 1e-12), 21), np.inf]
    worst = float(np.abs(reward - q).max())

    def bias_bound(kept: Floats) -> float:
        return worst * float((weight - kept).mean())

    return _least_error(switched, thresholds, bias_bound, weight, reward, q, v)


def dros(weight: Floats, reward: Floats, q: Floats, v: Floats) -> tuple[Estimated, float, float]:
    """Return DR with optimistic shrinkage, a bound of its bias, and the coefficient chosen.

    The coefficient minimises estimated variance plus squared bias bound over 30 values from 0.01 (5 % quantile of the
    weights)^2 to 100 (95 %)^2, and infinity, which is DR (Su et al. 2020). The bias, a mean of (w' - w)(r - q), is
    bounded directly, by Bernstein's inequality with the variance of the sample.
    """
    low, high = np.quantile(weight, [0.05, 0.95])
    coefficients = [*np.geomspace(max(0.01 * low**2, 1e-12), max(100 * high**2, 1e-12), 30), np.inf]
    n, log = len(weight), np.log(2 / FAILURE)

    def bias_bound(kept: Floats) -> float:
        lost = (kept - weight) * (reward - q)
        spread = np.sqrt(2 * lost.var() * log / n) + 2 * np.abs(lost).max() * log / (3 * n)
        return float(abs(lost.mean()) + spread)

    return _least_error(shrunk, coefficients, bias_bound, weight, reward, q, v)


def _least_error(
    change: Callable[[Floats, float], Floats],
    values: list[float],
    bias_bound: Callable[[Floats], float],
    weight: Floats,
    reward: Floats,
    q: Floats,
    v: Floats,
) -> tuple[Estimated, float, float]:
    """Return the DR estimate with changed weights, its bias bound and the value, of least mean squared error."""
    best: tuple[Estimated, float, float] | None = None
    least = np.inf
    for value in values:
        kept = change(weight, value)
        estimated, bias = dr(kept, reward, q, v), bias_bound(kept)
        error = float(estimated[1].var()) / len(weight) + bias**2
        if best is None or error < least:
            best, least = (estimated, bias, value), error
    assert best is not None
    return best
