"""Routers that learn nothing: the control, or the caller, decides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recsys_cli.config.routers import ApprenticeRouter, LoggingOnlyRouter, ShadowRouter
from recsys_cli.serving.router.base import Arm, Bools, C, Floats, SameForAll, State


class ControlOnly(SameForAll[C]):
    """The first policy, always."""

    def freeze(self, arms: Sequence[Arm], before: State) -> State:
        """See `Router.freeze`."""
        return {}

    def shares(self, state: State, enabled: Bools) -> Floats:
        """See `SameForAll.shares`."""
        return np.eye(len(enabled))[0]


class Shadow(ControlOnly[ShadowRouter]):
    """The control decides; the others are scored, and how likely they were to show the same slate is logged."""

    mode = "shadow"


class Apprentice(ControlOnly[ApprenticeRouter]):
    """The caller's order is shown; the policies are scored, and their agreement with the caller is reported."""

    mode = "apprentice"


class LoggingOnly(ControlOnly[LoggingOnlyRouter]):
    """The caller's order is shown, and no policy is asked."""

    mode = "logging_only"
