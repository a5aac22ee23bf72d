"""Importance sampling estimators of an episode's return.

Arrays of n episodes, padded behind their ends to the longest, T: `log_ratio` of the step's slate (or of its click, if
the choice model is known), 0 behind the end: an ended episode keeps its last weight and earns 0; were it left out,
every self-normalised estimate would be biased to short episodes. `reward` is 0 there, and so are `q` `[n, T]` and `v`
`[n, T + 1]`, the model's values of the logged action and of the state, except after a truncated episode's last step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.offline.estimators.base import ratio_influence
from recsys_cli.offline.estimators.influence import Estimated, Floats, mean, plus, ratios


def padded(values: NDArray[Any], lengths: NDArray[np.int64]) -> Floats:
    """Return the values of rows `[m]`, episode after episode, as `[n, T]`, filled up with zeros."""
    out = np.zeros((len(lengths), int(lengths.max())))
    out[np.arange(out.shape[1]) < lengths[:, None]] = values
    return out


def cumulated(log_ratio: Floats) -> Floats:
    """Return the weights `[n, T]`: products of the ratios so far."""
    return np.exp(np.cumsum(log_ratio, axis=1))


def importance_sampling(weight: Floats, reward: Floats, discount: float = 1.0) -> Estimated:
    """Return IS, the mean of the whole episode's weight times its return (Precup, Sutton & Singh 2000)."""
    return mean(weight[:, -1] * returns(reward, discount))


def weighted_is(weight: Floats, reward: Floats, discount: float = 1.0) -> Estimated:
    """Return WIS, the same with self-normalised weights (Precup et al. 2000)."""
    return ratio_influence(weight[:, -1] * returns(reward, discount), weight[:, -1])


def per_decision(weight: Floats, reward: Floats, discount: float = 1.0) -> Estimated:
    """Return PDIS: each reward has the weight of the steps up to it (Precup et al. 2000)."""
    return mean(returns(weight * reward, discount))


def weighted_per_decision(weight: Floats, reward: Floats, discount: float = 1.0) -> Estimated:
    """Return WPDIS (CWPDIS): PDIS with weights normalised at every step (Thomas 2015, his thesis)."""
    return ratios(weight * reward * _discounts(reward, discount), weight)


def doubly_robust(weight: Floats, reward: Floats, q: Floats, v: Floats, discount: float = 1.0) -> Estimated:
    """Return DR (Jiang & Li 2016, section 4), written as `V(s_0)` and weighted temporal differences."""
    return mean(v[:, 0] + returns(weight * _difference(reward, q, v, discount), discount))


def weighted_doubly_robust(weight: Floats, reward: Floats, q: Floats, v: Floats, discount: float = 1.0) -> Estimated:
    """Return WDR: DR with weights normalised at every step (Thomas & Brunskill 2016)."""
    difference = _difference(reward, q, v, discount)
    return plus(mean(v[:, 0]), ratios(weight * difference * _discounts(reward, discount), weight))


def returns(reward: Floats, discount: float) -> Floats:
    """Return the discounted sums `[n]` of `[n, T]`."""
    return (reward * _discounts(reward, discount)).sum(1)


def _difference(reward: Floats, q: Floats, v: Floats, discount: float) -> Floats:
    return reward + discount * v[:, 1:] - q


def _discounts(reward: Floats, discount: float) -> Floats:
    return discount ** np.arange(reward.shape[1], dtype=float)
