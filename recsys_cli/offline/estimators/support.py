"""Whether a log could show what a policy does."""

from __future__ import annotations

from recsys_cli.offline.estimators.base import LEAST_SUPPORT
from recsys_cli.offline.judging import Judged


class Support:
    """Share of the target's clicks that the policy that logged could have led to.

    If its probabilities are unknown, only a log whose propensities are all 1 is found to have no support.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.shown = self.total = 0.0
        self.known, self.certain, self.same = True, True, True

    def add(self, judged: Judged) -> None:
        """Take more judged steps."""
        rows = judged.steps.valid
        if judged.logged_clicks is None:
            self.known = False
        else:
            target = judged.target_clicks[rows]
            self.shown += float(target[judged.logged_clicks[rows] > 0].sum())
            self.total += float(target.sum())
        propensity = judged.steps.log_propensity
        self.certain &= propensity is not None and bool((propensity[rows] > -1e-6).all())
        self.same &= bool((judged.log_target[rows] > -1e-6).all())

    def diagnostics(self) -> dict[str, float]:
        """Return the share as `support`, if it is known."""
        return {"support": self.shown / self.total} if self.known and self.total else {}

    def refusal(self) -> str | None:
        """Return why the log says nothing about the policy; None if it may."""
        share = self.diagnostics().get("support")
        if share is not None and share < LEAST_SUPPORT:
            return f"no support: the log could not have shown {1 - share:.0%} of what the policy leads to"
        if share is None and self.certain and not self.same:
            return "no support: the log is deterministic (every propensity is 1) and shows other slates than the policy"
        return None
