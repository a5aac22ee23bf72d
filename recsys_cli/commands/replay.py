"""Decide everything that a service has logged once more, and compare slates, probabilities and the router's states.

Decisions are made anew by the versions of the policies that were live, from what was logged: user, candidates, session
memory, the router's probabilities; draws depend on the names of events and sessions. The router's epochs are computed
anew from the rewards. Prints one line; the exit code is 1 if anything is different.

Examples:
    recsys replay log=service
    recsys replay log=services/shop
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsys_cli.config.compose import compose
from recsys_cli.config.imports import without_collection

if TYPE_CHECKING:
    from recsys_cli.serving.folder import ServiceFolder


def run(overrides: list[str]) -> int:
    """Replay, and say what came out.

    Raises:
        ConfigError: the request is invalid, or a bundle is missing.
    """
    config = compose("replay", overrides)
    from recsys_cli.config.serving_log import service_of

    folder = service_of(config.log, config.service_dir)
    with without_collection():
        from recsys_cli.serving.folder import ServiceFolder
        from recsys_cli.serving.log.replay import replay_decisions
    service = ServiceFolder(folder)
    found = replay_decisions(service)
    router, same = _router(service)
    first = f" (first: {found.first})" if found.first else ""
    print(f"decisions: {found.same:,} same, {found.different:,} different{first}; router: {router}")
    return 0 if same and not found.different else 1


def _router(service: ServiceFolder) -> tuple[str, bool]:
    """Compute the router's epochs anew; return what came out in words, and whether all is the same."""
    from recsys_cli.files import read_json
    from recsys_cli.serving.log.ledger import compacted_offsets
    from recsys_cli.serving.log.reading import segments
    from recsys_cli.serving.router.replay import replay_epochs
    from recsys_cli.serving.router.settling import Rules

    if compacted_offsets(service.path / "compacted").keys() - {path.name for path in segments(service.log)}:
        return "unknown, since files of the log were removed", True
    settings, reward = service.config(), service.spec().reward
    replayed = replay_epochs(service.log, Rules(settings.router, reward, settings.serving.session_seconds))
    if replayed.different:
        return f"{len(replayed.different):,} of {len(replayed.epochs):,} epochs different", False
    now = read_json(service.router, {})
    epoch = now.pop("epoch", 0)
    if epoch and replayed.computed.get(epoch) != now:
        return f"{service.router.name} different from the log", False
    return f"{len(replayed.epochs):,} epochs same", True
