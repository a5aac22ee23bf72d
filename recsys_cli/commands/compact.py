"""Make a data set of what a service has logged: decisions joined with their rewards, sessions as episodes.

recsys describe, ope and train read it as it is. Sessions end with a reward that is final, or with silence
(serving.session_seconds); those that may go on are left for the next time, as are rewards whose decision may still
come. Decisions without a reward get the router's default after its wait_seconds. Nothing is written twice: each
compaction goes on where the last one ended, also if that was killed. Memory doesn't grow with the log.

Examples:
    recsys compact log=service name=monday
    recsys compact log=services/shop name=shop include_open=true
    recsys compact log=shop name=shop_2 remove_segments=true
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

from recsys_cli.config.compose import compose
from recsys_cli.config.imports import without_collection


def run(overrides: list[str]) -> int:
    """Compact, and say what became of the records.

    Raises:
        ConfigError: the request is invalid, or there is nothing to write.
    """
    config = compose("compact", overrides)
    from recsys_cli.config.serving_log import service_of

    folder = service_of(config.log, config.service_dir)
    with without_collection():
        from recsys_cli.serving.folder import ServiceFolder
        from recsys_cli.serving.log.compaction import Request, compact
        from recsys_cli.serving.log.episodes import Terms
        from recsys_cli.serving.log.removal import remove_compacted
    service = ServiceFolder(folder)
    settings, spec = service.config(), service.spec()
    router = settings.router
    terms = Terms(
        reward=spec.reward,
        aggregation=config.aggregation or router.aggregation,
        session_ms=settings.serving.session_seconds * 1e3,
        wait_ms=router.wait_seconds * 1e3,
        now_ms=time.time_ns() // 1_000_000,
    )
    request = Request(
        terms=terms,
        default=router.default_reward if config.default_reward is None else config.default_reward,
        propensity=config.propensity,
        include_open=config.include_open,
        again=config.since == "start",
    )
    data = Path(config.data_dir).expanduser() / config.name
    dataset, counts = compact(service, spec, data, request, show=partial(print, flush=True))
    for line in counts.lines():
        print(line)
    if config.remove_segments:
        removed = remove_compacted(service)
        print(f"removed {removed:,} file{'s' * (removed != 1)} of the log")
    print(f"written to {dataset.folder}")
    print(f"next: recsys describe data={dataset.folder}")
    return 0
