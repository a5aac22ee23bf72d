"""Estimators of one step's mean reward: weights, rewards and a reward model in, value and influence out.

Arrays of n logged steps: `weight` pi(a | x) / mu(a | x) of the logged action (an item, a slate, or a click if it alone
matters), `reward`, `q` the model's reward of the logged action and `v` its mean under the target policy. `q` and `v` of
a step must come from other steps (`reward_models.cross_fitted`); then every interval here is honest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Biased:
    """A DR estimate with changed weights.

    Attributes:
        estimated: value and influence.
        bias: bound of the bias, which may fail with probability `FAILURE` (Bernstein's inequality).
        chosen: threshold or coefficient.
    """

    estimated: Estimated
    bias: float
    chosen: float


def switch_dr(weight: Floats, reward: Floats, q: Floats, v: Floats) -> Biased:
    """Return Switch-DR with the threshold of least estimated error (see `_least_error`).

    Thresholds are 21 between the 5 % and the 95 % quantile of the weights (Wang et al. 2017), and none at all.
    """
    low, high = np.quantile(weight, [0.05, 0.95])
    thresholds = [*np.geomspace(max(low, 1e-12), max(high, 1e-12), 21), np.inf]
    return _least_error(switched, thresholds, weight, reward, q, v)


def dros(weight: Floats, reward: Floats, q: Floats, v: Floats) -> Biased:
    """Return DR with optimistic shrinkage, with the coefficient of least estimated error (see `_least_error`).

    Coefficients are 30 values from 0.01 (5 % quantile of the weights)^2 to 100 (95 %)^2, and infinity, which is DR (Su
    et al. 2020).
    """
    low, high = np.quantile(weight, [0.05, 0.95])
    coefficients = [*np.geomspace(max(0.01 * low**2, 1e-12), max(100 * high**2, 1e-12), 30), np.inf]
    return _least_error(shrunk, coefficients, weight, reward, q, v)


def _least_error(
    change: Callable[[Floats, float], Floats],
    values: list[float],
    weight: Floats,
    reward: Floats,
    q: Floats,
    v: Floats,
) -> Biased:
    """Return the DR estimate of least variance plus squared bias, over ways to change the weights (Su et al. 2020).

    The bias is estimated directly, as the mean of (w' - w)(r - q). A bound of it in place of the estimate would choose
    DR in any small sample, so the bound is left to the interval.
    """
    best, least, n, log = None, np.inf, len(weight), np.log(2 / FAILURE)
    for value in values:
        kept = change(weight, value)
        estimated, lost = dr(kept, reward, q, v), (kept - weight) * (reward - q)
        error = float(estimated[1].var()) / n + float(lost.mean()) ** 2
        if best is None or error < least:
            spread = np.sqrt(2 * lost.var() * log / n) + 2 * np.abs(lost).max() * log / (3 * n)
            best, least = Biased(estimated, float(abs(lost.mean()) + spread), value), error
    assert best is not None
    return best
