"""From a router's settings to the router."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recsys_cli.config import routers
from recsys_cli.config.routers import RouterConfig
from recsys_cli.serving.router.ab_test import ABTest
from recsys_cli.serving.router.base import Router
from recsys_cli.serving.router.best_mean import UCB1, EpsilonGreedy, Thompson
from recsys_cli.serving.router.fixed import Apprentice, LoggingOnly, Shadow
from recsys_cli.serving.router.linucb import LinUCB

ROUTERS: dict[type[RouterConfig], type[Router[Any]]] = {
    routers.ThompsonRouter: Thompson,
    routers.UCB1Router: UCB1,
    routers.EpsilonGreedyRouter: EpsilonGreedy,
    routers.LinUCBRouter: LinUCB,
    routers.ABTestRouter: ABTest,
    routers.ShadowRouter: Shadow,
    routers.ApprenticeRouter: Apprentice,
    routers.LoggingOnlyRouter: LoggingOnly,
}


def build_router(config: RouterConfig, names: Sequence[str]) -> Router[Any]:
    """Return the router of these policies, the control's name first.

    Raises:
        ConfigError: settings that do not fit the number of policies.
    """
    return ROUTERS[type(config)](config, names)
