"""What an estimate is, and what all estimators share: units, intervals, weights and when to refuse."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from recsys_cli.offline.steps import Steps

Floats = NDArray[np.float64]

LEAST_ESS = 50.0  # effective sample size below which importance weights say nothing
MEAN_ERRORS = 3.0  # standard errors by which weights' mean may differ from 1
MOST_SHARE = 0.1  # of the sum of all weights in one of them
ROUNDING = 1e-4  # of a mean weight: logged propensities are float32
LEAST_SUPPORT = 0.99  # share of the target's clicks that the log must be able to show
DIAGNOSTICS = ("ess", "mean_weight", "mean_weight_error", "largest_weight", "support")


@dataclass(frozen=True)
class Estimate:
    """What an estimator says about a policy.

    Attributes:
        name: the estimator's.
        value: of the policy; nan if nothing can be said.
        low: lower end of the 95 % interval; nan without one.
        high: upper end.
        interval: how it was made.
        diagnostics: such as `ess` (effective sample size), `mean_weight`, `largest_weight`, `support`.
        refusal: why the value is not to be trusted, in words; None if nothing speaks against it. Then there is no
            interval.
        influence: contribution of each unit (an episode, or a group of them) to the error, centred: `[units]`. The
            standard error is its standard deviation over the root of the number of units. Of two policies judged on
            the same log, the difference is that of the difference.
        per: what the value is of: `session` or `step`.
    """

    name: str
    value: float
    low: float = float("nan")
    high: float = float("nan")
    interval: str = "none"
    diagnostics: dict[str, float] = field(default_factory=dict)
    refusal: str | None = None
    influence: Floats | None = None
    per: str = "session"

    @property
    def error(self) -> float:
        """The standard error; nan if unknown."""
        return standard_error(self.influence) if self.influence is not None else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values: nan becomes None."""
        numbers = {name: getattr(self, name) for name in ("value", "low", "high", "error")}
        return {
            "estimator": self.name,
            "per": self.per,
            **{name: None if np.isnan(value) else float(value) for name, value in numbers.items()},
            "interval": self.interval,
            "refusal": self.refusal,
            "diagnostics": {name: float(value) for name, value in self.diagnostics.items()},
        }


def from_influence(
    name: str,
    value: float,
    influence: Floats,
    *,
    diagnostics: dict[str, float] | None = None,
    refusal: str | None = None,
    per: str = "session",
    unit: str = "episodes",
) -> Estimate:
    """Return an estimate with a Student's t interval from its influence values, or with none if it is refused.

    Args:
        name: the estimator's.
        value: the estimate.
        influence: see `Estimate.influence`; it is centred here.
        diagnostics: see `Estimate.diagnostics`.
        refusal: see `Estimate.refusal`.
        per: see `Estimate.per`.
        unit: what the influence values are of, in words.
    """
    influence, units = influence - influence.mean(), len(influence)
    diagnostics = diagnostics or {}
    if refusal is not None or units < 2:
        return Estimate(name, value, diagnostics=diagnostics, refusal=refusal, influence=influence, per=per)
    half = float(stdtrit(units - 1, 0.975)) * standard_error(influence)
    words = f"influence function over {units:,} {unit}, Student's t"
    return Estimate(name, value, value - half, value + half, words, diagnostics, None, influence, per)


def refused(name: str, why: str, *, per: str = "session") -> Estimate:
    """Return an estimate that says nothing but why."""
    return Estimate(name, float("nan"), refusal=why, per=per)


def standard_error(influence: Floats) -> float:
    """Return the standard error of an estimate from its centred influence values `[units]`."""
    units = len(influence)
    return float(np.sqrt((influence**2).sum() / (units - 1) / units)) if units > 1 else float("nan")


def ratio_influence(numerator: Floats, denominator: Floats) -> tuple[float, Floats]:
    """Return `sum(numerator) / sum(denominator)` and its influence values, of sums by unit `[units]`."""
    mean = float(denominator.mean())
    if mean == 0:
        return float("nan"), np.zeros_like(numerator)
    value = float(numerator.mean()) / mean
    return value, (numerator - value * denominator) / mean


def with_choice_error(value: float, influence: Floats, reward: Floats, size: Floats) -> Floats:
    """Return influence values that also hold the error of a choice model learned from the same log.

    To first order its click rates are off by as much, relatively, as what the log earned is off its mean.

    Args:
        value: the estimate.
        influence: its influence values if the choice model were known, `[units]`.
        reward: what each unit earned, `[units]`.
        size: steps or episodes of each unit, `[units]`.
    """
    mean, deviation = ratio_influence(reward, size)
    return influence if mean == 0 else influence + value * deviation / mean


@dataclass
class WeightSums:
    """Running sums of importance weights, for their diagnostics.

    Attributes:
        total: sum of the weights by unit, one array a batch.
        counts: number of weights by unit.
        squares: sum of the squared weights.
        largest: the largest.
    """

    total: list[Floats] = field(default_factory=list)
    counts: list[Floats] = field(default_factory=list)
    squares: float = 0.0
    largest: float = 0.0

    def add(self, weights: Floats, which: NDArray[np.bool_], steps: Steps) -> None:
        """Add the weights `[n]` of some rows, `which` [n]; units are episodes."""
        kept = np.where(which, weights, 0.0)
        self.total.append(steps.per_episode(kept))
        self.counts.append(steps.per_episode(which.astype(np.float64)))
        self.squares += float(kept @ kept)
        self.largest = max(self.largest, float(kept.max(initial=0.0)))

    def diagnostics(self) -> dict[str, float]:
        """Return `ess`, `mean_weight`, its standard error over episodes `mean_weight_error`, and `largest_weight`.

        The effective sample size is `(sum w)^2 / sum w^2` (Kish 1965).
        """
        total, counts = np.concatenate(self.total), np.concatenate(self.counts)
        mean, influence = ratio_influence(total, counts)
        ess = float(total.sum() ** 2 / self.squares) if self.squares > 0 else 0.0
        return {
            "ess": ess,
            "mean_weight": mean,
            "mean_weight_error": standard_error(influence),
            "largest_weight": self.largest,
        }


def why_refused(diagnostics: dict[str, float], *, what: str = "importance weights") -> str | None:
    """Return why an estimate from importance weights is not to be trusted; None if nothing speaks against it.

    Args:
        diagnostics: as `WeightSums.diagnostics` returns them; `support`, the share of the target's probability that
            the log could show, and `largest_share`, that of one weight in the sum of all, if known.
        what: the weights' name in words.
    """
    support = diagnostics.get("support", 1.0)
    if support < LEAST_SUPPORT:
        return f"no support: the log could not have shown {1 - support:.0%} of what the policy does"
    ess, mean = diagnostics["ess"], diagnostics["mean_weight"]
    error = diagnostics["mean_weight_error"]
    if ess < LEAST_ESS:
        return f"{what} amount to {ess:.1f} samples, fewer than {LEAST_ESS:.0f}"
    if not abs(mean - 1) <= max(MEAN_ERRORS * error, ROUNDING):
        return f"mean of the {what} is {mean:.2f} ± {error:.2f} and should be 1"
    if diagnostics.get("largest_share", 0.0) > MOST_SHARE:
        return f"one of the {what} is {diagnostics['largest_share']:.0%} of the sum of all"
    return None
