"""How far weights can be trusted, and the limits beyond which an estimate is refused in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.offline.estimators.influence import Floats

LEAST_EFFECTIVE = 50.0  # effective sample size
ERRORS = 3.0  # standard errors that a mean weight may be off 1
MOST_MISSING = 0.01  # of the target's probability may lie where the behaviour's is 0
LARGEST_SHARE = 0.1  # of all weight in one unit


@dataclass(frozen=True)
class Weights:
    """Diagnostics of importance weights.

    Attributes:
        effective: effective sample size, `(sum w)^2 / sum w^2` (Kish 1965).
        mean: 1 in expectation.
        error: standard error of the mean.
        largest: weight.
        share: of all weight in the largest.
    """

    effective: float
    mean: float
    error: float
    largest: float
    share: float

    @classmethod
    def of(cls, weight: Floats) -> Weights:
        """Compute them from the weights of n units, `[n]`; negative ones (PI's) count by their size."""
        size = np.abs(weight)
        total, square = float(size.sum()), float(np.square(weight).sum())
        error = float(weight.std(ddof=1)) / np.sqrt(len(weight)) if len(weight) > 1 else float("inf")
        largest = float(size.max(initial=0.0))
        effective = total**2 / square if square > 0 else 0.0
        return cls(effective, float(weight.mean()), error, largest, largest / total if total > 0 else 1.0)

    def refusal(self, *, of_one: bool = True) -> str | None:
        """Return why an estimate with these weights is not to be believed; None if nothing speaks against it.

        Args:
            of_one: whether their mean must be 1.
        """
        if self.effective < LEAST_EFFECTIVE:
            return f"effective sample size {self.effective:.1f}, at least {LEAST_EFFECTIVE:.0f} are needed"
        if of_one and abs(self.mean - 1) > ERRORS * self.error + 1e-6:
            return f"mean weight {self.mean:.3g} ± {self.error:.2g} should be 1"
        if self.share > LARGEST_SHARE:
            return f"one weight, {self.largest:.3g}, is {self.share:.0%} of the sum of all"
        return None

    def to_dict(self) -> dict[str, float]:
        """Return them by the names that tables use."""
        return {
            "effective_size": self.effective,
            "mean_weight": self.mean,
            "mean_weight_error": self.error,
            "largest_weight": self.largest,
            "largest_share": self.share,
        }


def missing_support(target: Floats, behaviour: Floats) -> float:
    """Return the share of the target's probability, `[n, A]`, on actions that the behaviour never takes, `[n, A]`."""
    return float(np.where(behaviour <= 0, target, 0.0).sum() / target.sum())


def missing_support_refusal(missing: float) -> str | None:
    """Return why nothing can be said if that share is too great."""
    if missing <= MOST_MISSING:
        return None
    return f"{missing:.1%} of what the policy shows is never shown in the log"


def propensity_moments(log_propensity: Floats, candidates: NDArray[Any]) -> Floats:
    """Return by how many standard errors the mean of `1 / propensity` is off its expectation, `[k + 1]`.

    If every candidate may be shown, the mean of `1 / p_j` at position j is the number of candidates left, C - j, and
    last, for whole slates, the number of slates. Propensities of another base, logs taken for probabilities or
    probabilities of unordered slates are far off. An impossible propensity, above 1 or 0, is infinitely far.

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
