"""A router with fixed shares, and tests of the difference between each policy and the control."""

from __future__ import annotations

from collections.abc import Sequence
from math import erfc, exp, inf, log, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.routers import ABTestRouter
from recsys_cli.serving.router.base import Arm, Bools, Floats, SameForAll, State

BURN_IN = 30  # observations of both policies before their variances are trusted


class ABTest(SameForAll[ABTestRouter]):
    """Fixed shares; each policy is compared with the control at level alpha / (M - 1) (Bonferroni).

    The state is the report: for each policy the difference of means, its interval, the p-value and the verdict. With
    `test=sequential` p-values only fall, and a verdict once reached stays.
    """

    evidence = "fixed shares"  # tests would not hold on what a bandit collected

    def __init__(self, config: ABTestRouter, names: Sequence[str]) -> None:
        """Check that there is a share for each policy."""
        super().__init__(config, names)
        if config.shares is not None and len(config.shares) != len(names):
            raise ConfigError(
                f"router.shares={config.shares}: one is needed for each of {len(names)} policies: {', '.join(names)}"
            )

    def freeze(self, arms: Sequence[Arm], before: State) -> State:
        """See `Router.freeze`."""
        level = self.config.alpha / max(len(arms) - 1, 1)
        settings = {"test": self.config.test, "effect": self.config.effect, "horizon": self.config.horizon}
        earlier = before.get("comparisons", {}) if settings.items() <= before.items() else {}
        compare = self._sequential if self.config.test == "sequential" else self._fixed_horizon
        total = sum(arm.count for arm in arms)
        comparisons = {
            name: compare(arms[0], arm, level, total, earlier.get(name, {}))
            for name, arm in zip(self.names[1:], arms[1:], strict=True)
        }
        return {**settings, "alpha": self.config.alpha, "level": level, "comparisons": comparisons}

    def shares(self, state: State, enabled: Bools) -> Floats:
        """See `SameForAll.shares`."""
        fixed = np.where(enabled, self.config.shares or 1.0, 0.0)
        return fixed / fixed.sum() if fixed.sum() else np.eye(len(enabled))[0]

    def report(self, state: State) -> dict[str, Any]:
        """See `Router.report`."""
        return dict(state)

    def _sequential(self, control: Arm, arm: Arm, level: float, total: int, earlier: State) -> dict[str, Any]:
        """Compare by the mixture sequential probability ratio test, whose p-value is valid at all times.

        The difference of running means is a Brownian motion in the time 1 / variance, whatever the order of arms;
        its drift is mixed over N(0, tau^2) (Johari, Pekelis and Walsh 2019, arXiv 1512.04922, section 5). Variances
        are estimated: valid asymptotically (Waudby-Smith et al. 2021, arXiv 2103.06476).
        """
        last = float(earlier.get("p_value", 1.0))
        if min(control.count, arm.count) < BURN_IN:
            return _comparison(arm.mean - control.mean, inf, last, level)
        difference, variance, deviation = _difference(control, arm)
        if variance == 0:  # all rewards are the same: nothing can be said of their spread
            return _comparison(difference, inf, last, level)
        mixed = (self.config.effect * deviation) ** 2
        ratio = mixed / (variance + mixed)
        evidence = difference**2 * ratio / (2 * variance) - log(1 + mixed / variance) / 2
        width = sqrt(variance / ratio * (2 * log(1 / level) + log(1 + mixed / variance)))
        return _comparison(difference, width, min(last, exp(-max(evidence, 0.0))), level)

    def _fixed_horizon(self, control: Arm, arm: Arm, level: float, total: int, earlier: State) -> dict[str, Any]:
        """Compare by one z-test, at the first epoch's end with `horizon` observations; no verdict before."""
        if earlier.get("decided"):
            return dict(earlier)
        if total < self.config.horizon or min(control.count, arm.count) < 2:
            return _comparison(arm.mean - control.mean, inf, 1.0, level) | {"decided": False}
        difference, variance, _ = _difference(control, arm)
        p_value = erfc(abs(difference) / sqrt(2 * variance)) if variance else 1.0
        width = NormalDist().inv_cdf(1 - level / 2) * sqrt(variance)
        return _comparison(difference, width, p_value, level) | {"decided": True}


def _difference(control: Arm, arm: Arm) -> tuple[float, float, float]:
    """Return the difference of two policies' means, its variance, and the standard deviation of their rewards."""
    variances = [each.scatter / (each.count - 1) for each in (control, arm)]
    variance = variances[0] / control.count + variances[1] / arm.count
    return arm.mean - control.mean, variance, sqrt(sum(variances) / 2)


def _comparison(difference: float, width: float, p_value: float, level: float) -> dict[str, Any]:
    interval = None if width == inf else [difference - width, difference + width]
    return {"difference": difference, "interval": interval, "p_value": p_value, "significant": p_value <= level}
