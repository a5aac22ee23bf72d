"""What eight clients see when a service on Ray Serve loses one of its processes, with and without retries.

    uv run python -m experiments.serving.faults_ray

One service of two replicas, on which kill -9 ends one process after another: a replica, HAProxy, HAProxy's manager,
Serve's controller, the proxy that stands by, and the whole service, which is started again; and hostile requests come
(those of the local back end's table). Each event happens twice:
once to clients that give up at the first failure, once to clients that try again. At the end `recsys compact` makes a
data set, in which every reward that was accepted must be. Writes `faults_ray.md` beside this file.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from experiments.services import free_port
from experiments.serving.faults_local import HEADER, HERE, RETRIES, SERVE, attacked, policies_in, watched
from experiments.serving.servers import RECSYS, Server, started
from experiments.serving.watched import Seen, missing
from recsys_cli.cli import main as recsys

MENDED_S = 12.0  # what was killed must be there again before the next event


class Service:
    """A service on Ray in one folder, which can be started again."""

    def __init__(self, folder: Path, policies: list[Path], stack: ExitStack) -> None:
        """Start it."""
        self.port, self.folder, self._stack = free_port(), folder, stack
        named = ",".join(map(str, policies))
        self._command = [*RECSYS, "serve", f"checkpoint=[{named}]", *SERVE, "name=shop", f"service_dir={folder.parent}"]
        self._command += [f"port={self.port}", "serving=ray", "tracking=off"]
        self.server = self.start()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Server:
        """Start it, and wait until it answers."""
        place = self.folder.parent / "output"
        return self._stack.enter_context(started(self._command, self.url, "/v1/policies", place))


def kill(pattern: str, service: Service) -> None:
    """Kill a process whose command line has a pattern; the service itself is started again."""
    victim = max(service.server.named(pattern))  # the newest
    os.kill(victim, signal.SIGKILL)
    if victim == service.server.process.pid:
        service.server.process.wait()
        service.server = service.start()


def nothing(service: Service) -> None:
    """Let it be."""
    time.sleep(3.0)


EVENTS: dict[str, Callable[[Any], None]] = {
    "nothing": nothing,
    "kill -9 of one of two replicas": partial(kill, r"^ray::ServeReplica"),
    "kill -9 of HAProxy": partial(kill, "bin/haproxy -db"),
    "kill -9 of HAProxy's manager": partial(kill, r"^ray::HAProxyManager"),
    "kill -9 of Serve's controller": partial(kill, r"^ray::ServeController"),
    "kill -9 of the proxy that stands by": partial(kill, r"^ray::ProxyActor"),
    "malformed and hostile requests": attacked,
    "kill -9 of the whole service, started again": partial(kill, "recsys_cli serve"),
}


def watched_and_mended(service: Service, event: Callable[[Any], None], retries: int) -> Seen:
    """Return what clients see before, during and after an event, once what was killed is there again."""
    seen = watched(service, event, retries)
    if isinstance(event, partial):
        time.sleep(MENDED_S)
    return seen


def main() -> None:
    """Let one thing happen after another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/faults_ray"), help="emptied before and after")
    parser.add_argument("--events", nargs="+", choices=list(EVENTS), default=list(EVENTS))
    args = parser.parse_args()
    folder = args.folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    policies, accepted = policies_in(folder / "runs"), dict[str, list[int]]()
    rows = dict[str, tuple[Seen, Seen]]()
    with ExitStack() as stack:
        service = Service(folder / "shop", policies, stack)
        for name in args.events:
            without, with_retry = (watched_and_mended(service, EVENTS[name], retries) for retries in (0, RETRIES))
            rows[name], accepted[name] = (without, with_retry), [*without.accepted, *with_retry.accepted]
            print(" | ".join(_cells(name, rows[name])), flush=True)
    if recsys(["compact", f"log={folder / 'shop'}", "name=log", f"data_dir={folder / 'data'}", "include_open=true"]):
        raise RuntimeError("the compaction failed")
    lines = [HEADER, ["---"] * len(HEADER)]
    for name, seen in rows.items():
        gone = missing(accepted[name], folder / "data/log")
        lines.append([*_cells(name, seen), f"{len(accepted[name]):,}", f"{gone:,}"])
    (HERE / "faults_ray.md").write_text("".join(f"| {' | '.join(each)} |\n" for each in lines))
    shutil.rmtree(folder)


def _cells(name: str, seen: tuple[Seen, Seen]) -> list[str]:
    return [name, *map(str, seen), " / ".join(f"{each.silence:.1f}" for each in seen)]


if __name__ == "__main__":
    main()
