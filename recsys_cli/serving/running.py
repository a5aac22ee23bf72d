"""What one process of a service does beside answering, and what is done once for all of them."""

from __future__ import annotations

from recsys_cli.config.serving import ServeConfig
from recsys_cli.serving.chores import Chore
from recsys_cli.serving.folder import ServiceFolder, finder
from recsys_cli.serving.live import AliasWatcher
from recsys_cli.serving.router.bookkeeper import Bookkeeper
from recsys_cli.serving.router.settling import Rules
from recsys_cli.serving.service import Service
from recsys_cli.serving.watching.drift import Following
from recsys_cli.serving.watching.metrics import POINT_SECONDS
from recsys_cli.tracking.bundle import read_bundle


def chores_of_each(service: Service) -> list[Chore]:
    """Return what every process does: follow the pointer to the policies and the router, and watch itself."""
    drift = Following(service.statistics, lambda: service.live.now.models[0])
    return [
        Chore("following the service's folder", service.config.serving.poll_seconds, service.poll),
        Chore("the history of the service", POINT_SECONDS, service.statistics.tick),
        Chore("drift of features", POINT_SECONDS, drift.step),
    ]


def chores_of_one(folder: ServiceFolder, config: ServeConfig) -> list[Chore]:
    """Return what one process does for all: join rewards and let the router learn, and follow aliases in MLflow.

    Raises:
        ConfigError: `router.state` names no database.
    """
    control = folder.pointed()[0]
    reward = read_bundle(folder.bundle(control.name, control.version)).spec.reward
    rules = Rules(config.router, reward, config.serving.session_seconds)
    books = Bookkeeper(folder, rules, config.serving.durability)
    chores = [Chore("the router's bookkeeping", config.serving.poll_seconds, books.step, books.close)]
    aliases = AliasWatcher(folder, finder(config))
    if aliases.needed:
        chores.append(Chore("following MLflow's aliases", config.serving.alias_seconds, aliases.step))
    return chores
