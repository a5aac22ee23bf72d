"""Policies ranked by their estimates, and which of them to choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtr, stdtrit

from recsys_cli.offline.estimators.base import Estimate, standard_error

SURE = 0.975  # probability of being better from which one policy is recommended before another


@dataclass(frozen=True)
class Difference:
    """By how much one policy is better than another, from the same units of the log.

    Attributes:
        value: of the first minus that of the second.
        low: lower end of the 95 % interval.
        high: upper end.
        better: probability that the first is better, by Student's t.
    """

    value: float
    low: float
    high: float
    better: float

    @classmethod
    def of(cls, first: Estimate, second: Estimate) -> Difference | None:
        """Compare two estimates; None if either has no influence values or is refused."""
        if first.influence is None or second.influence is None or first.refusal or second.refusal:
            return None
        units = len(first.influence)
        error, value = standard_error(first.influence - second.influence), first.value - second.value
        half = float(stdtrit(units - 1, 0.975)) * error if units > 1 else float("nan")
        better = float(stdtr(units - 1, value / error)) if error > 0 else float(np.heaviside(value, 0.5))
        return cls(value, value - half, value + half, better)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {"value": self.value, "low": self.low, "high": self.high, "better": self.better}


@dataclass(frozen=True)
class Ranking:
    """Policies by falling estimate; those refused are not ranked.

    Attributes:
        order: names of those ranked.
        over_logged: of each, its difference to the log's own return.
        behind: of each but the best, the best's difference to it.
        refused: names of the others, and why.
        logged: the log's own return.
    """

    order: list[str]
    over_logged: dict[str, Difference]
    behind: dict[str, Difference]
    refused: dict[str, str]
    logged: float

    @classmethod
    def of(cls, estimates: Mapping[str, Estimate], logged: Estimate) -> Ranking:
        """Rank the policies by one estimator."""
        refused = {name: each.refusal for name, each in estimates.items() if each.refusal is not None}
        kept = {name: each for name, each in estimates.items() if name not in refused}
        order = sorted(kept, key=lambda name: -kept[name].value)
        over = {name: found for name in order if (found := Difference.of(kept[name], logged)) is not None}
        best = kept[order[0]] if order else None
        behind = {
            name: found
            for name in order[1:]
            if best is not None and (found := Difference.of(best, kept[name])) is not None
        }
        return cls(order, over, behind, refused, logged.value)

    def recommendation(self) -> str:
        """Return which policy to choose, in words."""
        if not self.order:
            return "no policy can be recommended: every estimate was refused"
        best, over = self.order[0], self.over_logged.get(self.order[0])
        close = [name for name, each in self.behind.items() if each.better < SURE]
        among = f"{best} and {', '.join(close)} cannot be told apart" if close else f"choose {best}"
        if close:
            nearest = self.behind[close[0]]
            among += f": {best} is ahead of {close[0]} by {nearest.value:.1f} [{nearest.low:.1f}, {nearest.high:.1f}]"
        elif self.behind:
            runner_up = self.order[1]
            nearest = self.behind[runner_up]
            among += (
                f": better than {runner_up}, the next, by {nearest.value:.1f} [{nearest.low:.1f}, {nearest.high:.1f}]"
            )
        if over is None:
            return among
        sure = over.better >= SURE
        against = "better than what was logged" if sure else "not shown to be better than what was logged"
        return f"{among}; {against}: {over.value:+.1f} [{over.low:+.1f}, {over.high:+.1f}]"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "order": self.order,
            "over_logged": {name: each.to_dict() for name, each in self.over_logged.items()},
            "best_over": {name: each.to_dict() for name, each in self.behind.items()},
            "refused": self.refused,
            "recommendation": self.recommendation(),
        }
