"""How far importance weights and propensities can be trusted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.offline.estimators.base import standard_error
from recsys_cli.offline.estimators.influence import Floats, by_unit, mean


def of_weights(weight: Floats, unit: NDArray[np.int64] | None = None) -> dict[str, float]:
    """Return diagnostics of importance weights `[n]`, by the names of `base.WeightSums`, and `largest_share`.

    `largest_share` is the share of the greatest in the sum of all. Negative weights, PI's, count by their size.

    Args:
        weight: of each row.
        unit: of each row, 0 to U - 1, if rows of one unit depend on each other.
    """
    size = np.abs(weight)
    total, square, largest = float(size.sum()), float(np.square(weight).sum()), float(size.max(initial=0.0))
    value, influence = mean(weight) if unit is None else by_unit(mean(weight), unit)
    return {
        "ess": total**2 / square if square > 0 else 0.0,
        "mean_weight": value,
        "mean_weight_error": standard_error(influence),
        "largest_weight": largest,
        "largest_share": largest / total if total > 0 else 1.0,
    }


def support(target: Floats, behaviour: Floats) -> float:
    """Return the share of the target's probability, `[n, A]`, on actions that the behaviour may take, `[n, A]`."""
    return float(np.where(behaviour > 0, target, 0.0).sum() / target.sum())


def propensity_moments(log_propensity: Floats, candidates: NDArray[Any] | int) -> Floats:
    """Return by how many standard errors the mean of `1 / propensity` is off its expectation, `[k + 1]`.

    If every candidate may be shown, the mean of `1 / p_j` at position j is the number of candidates left, C - j, and
    last, for whole slates, the number of slates. Propensities of another base, probabilities taken for logs and
    probabilities of unordered slates are far off. One that is not a probability, or 0, is infinitely far.

    Args:
        log_propensity: of each position given those before it, `[n, k]`.
        candidates: how many each row had, `[n]` or one number.
    """
    log_propensity = np.asarray(log_propensity, np.float64)
    n, k = log_propensity.shape
    left = np.broadcast_to(candidates, (n,))[:, None] - np.arange(k)
    logs = np.concatenate([log_propensity, log_propensity.sum(1, keepdims=True)], axis=1)
    expected = np.concatenate([left, left.prod(1, keepdims=True)], axis=1)
    off = np.exp(-logs) / np.maximum(expected, 1) - 1
    error = off.std(0, ddof=1) / np.sqrt(n) + 1e-6  # equal propensities have no spread, only float32's rounding
    bad = ~((logs <= 1e-6) & np.isfinite(logs)).all(0)
    return np.where(bad, np.inf, np.abs(off.mean(0)) / error)
