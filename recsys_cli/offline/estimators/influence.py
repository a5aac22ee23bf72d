"""Estimates that are smooth functions of means, each with its influence function.

An estimate is a pair: its value, and the influence `[n]` of every independent unit (a step, an episode), of mean 0. The
estimate's standard error is the influence's standard deviation divided by the root of n (Hampel 1974; van der Vaart
1998, chapter 20).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Estimated = tuple[float, Floats]


def mean(terms: Floats) -> Estimated:
    """Return the mean of one term a unit, `[n]`."""
    value = float(terms.mean())
    return value, terms - value


def ratio(numerator: Floats, weight: Floats) -> Estimated:
    """Return the sum of `numerator` over the sum of `weight`, both `[n]`; nan if the weights sum to 0."""
    total = float(weight.mean())
    if total == 0:
        return float("nan"), np.full(len(weight), np.nan)
    value = float(numerator.mean()) / total
    return value, (numerator - value * weight) / total


def ratios(numerator: Floats, weight: Floats) -> Estimated:
    """Return the sum over t of `ratio`s, of `[n, T]`; a t where all weights are 0 adds 0."""
    total = weight.mean(0)
    there = total > 0
    safe = np.where(there, total, 1.0)
    each = np.where(there, numerator.mean(0) / safe, 0.0)
    return float(each.sum()), ((numerator - each * weight) / safe * there).sum(1)


def plus(first: Estimated, second: Estimated) -> Estimated:
    """Return the sum of two estimates from the same units."""
    return first[0] + second[0], first[1] + second[1]
