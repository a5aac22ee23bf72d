"""How far importance weights and propensities can be trusted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recsys_cli.offline.estimators.base import standard_error
from recsys_cli.offline.estimators.influence import Floats, by_unit, mean
from recsys_cli.offline.support import Support


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


def why_useless(propensities: Support) -> str | None:
    """Return why estimates that divide by logged propensities are refused; None if nothing speaks against them."""
    match propensities.kind:
        case "none":
            return "the log has no propensities"
        case "invalid":
            return f"{propensities.invalid:,} of {propensities.steps:,} logged propensities are no probabilities"
        case "too small":
            times = max(propensities.inverse)
            return f"logged propensities are too small: the mean of 1/p is {times:.2f} times the greatest possible"
    return None
