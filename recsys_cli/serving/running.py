"""What one process of a service does beside answering, and what is done once for all of them."""

from __future__ import annotations

from recsys_cli.config.serving import ServeConfig
from recsys_cli.serving.chores import Chore
from recsys_cli.serving.drift import Following
from recsys_cli.serving.folder import ServiceFolder, finder
from recsys_cli.serving.live import AliasWatcher
from recsys_cli.serving.metrics import POINT_SECONDS
from recsys_cli.serving.service import Service


def chores_of_each(service: Service) -> list[Chore]:
    """Return what every process does: follow the pointer to the policies and the router, and watch itself."""
    drift = Following(service.statistics, lambda: service.live.now.models[0])
    return [
        Chore("following the service's folder", service.config.serving.poll_seconds, service.poll),
        Chore("the history of the service", POINT_SECONDS, service.statistics.tick),
        Chore("drift of features", POINT_SECONDS, drift.step),
    ]


def chores_of_one(folder: ServiceFolder, config: ServeConfig) -> list[Chore]:
    """Return what one process does for all: follow aliases in MLflow."""
    aliases = AliasWatcher(folder, finder(config))
    every = config.serving.alias_seconds
    return [Chore("following MLflow's aliases", every, aliases.step)] if aliases.needed else []
