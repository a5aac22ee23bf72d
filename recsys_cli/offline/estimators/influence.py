"""Estimates that are smooth functions of means, each with its influence function.

An estimate is a pair: its value, and the influence `[n]` of every unit, of mean 0 (`base.Estimate.influence`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recsys_cli.offline.estimators.base import ratio_influence

Floats = NDArray[np.float64]
Estimated = tuple[float, Floats]


def mean(terms: Floats) -> Estimated:
    """Return the mean of one term a unit, `[n]`."""
    value = float(terms.mean())
    return value, terms - value


def ratios(numerator: Floats, weight: Floats) -> Estimated:
    """Return the sum over t of self-normalised means, of `[n, T]`; a t where all weights are 0 adds 0."""
    there = np.flatnonzero(weight.any(0))
    parts = [ratio_influence(numerator[:, t], weight[:, t]) for t in there]
    return sum(value for value, _ in parts), np.sum([part for _, part in parts], axis=0) if parts else 0 * weight[:, 0]


def plus(first: Estimated, second: Estimated) -> Estimated:
    """Return the sum of two estimates from the same units."""
    return first[0] + second[0], first[1] + second[1]


def by_unit(estimated: Estimated, unit: NDArray[np.int64]) -> Estimated:
    """Return the same estimate with the influence of units of several rows each, `[U]`, of that of rows `[n]`.

    Args:
        estimated: from rows.
        unit: of each row, 0 to U - 1, `[n]`; rows of one unit may depend on each other.
    """
    value, influence = estimated
    units = int(unit.max()) + 1
    return value, np.asarray(np.bincount(unit, influence, units) * (units / len(unit)))
