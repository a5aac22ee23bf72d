"""What eight clients see when a service on the local back end meets trouble, with and without retries.

    uv run python -m experiments.serving.faults_local

One table: kill -9 of the server, which is started again in the same folder; its database locked for 10 s; its disk full
for 5 s (a small tmpfs; needs root); its clock an hour forth and back; hostile requests beside. After
each, `recsys compact` makes a data set, in which every reward that was accepted must be. Writes `faults_local.md`
beside this file; with `--events`, only some of its rows.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from experiments.hostile.requests import Request, all_requests
from experiments.hostile.wire import Wire, send, wires
from experiments.services import free_port
from experiments.serving.watched import Clients, Seen, missing
from recsys_cli.cli import main as recsys
from recsys_cli.serving.client import Client, ServiceError

HERE = Path(__file__).parent
SERVE = ("explore=epsilon:0.2", "router.epoch_seconds=1", "serving.max_seconds=2")
CALM_S, AFTER_S, DOWN_S = 3.0, 3.0, 1.0
LOCKED_S, FULL_S, JUMP_S = 10.0, 5.0, 4.0
RETRIES = 30  # for some minutes: a start takes long on a busy machine
DISK_MB = 64
HEADER = ("event", "failed without retry", "with retry", "longest silence, s", "accepted rewards", "of them missing")


class Service:
    """A service in a process of its own, in one folder."""

    def __init__(self, folder: Path, policies: Sequence[Path]) -> None:
        """Start it."""
        self.port = free_port()
        self.folder, self.clock, self.url = folder, folder.parent / "clock", f"http://127.0.0.1:{self.port}"
        named = ",".join(map(str, policies))
        self._words = ["serve", f"checkpoint=[{named}]", *SERVE, "name=shop", f"service_dir={folder.parent}"]
        self._words += [f"port={self.port}"]
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        run = ["experiments.serving.wrong_clock", str(self.clock)] if self.clock.exists() else ["recsys_cli"]
        self.process = subprocess.Popen([sys.executable, "-m", *run, *self._words], stdout=subprocess.DEVNULL)
        client = Client(self.url, retries=0)
        while self.process.poll() is None:
            try:
                client.policies()
                return
            except ServiceError:
                time.sleep(0.05)
        raise RuntimeError("the service did not start")

    def stop(self) -> None:
        """End it as a user would."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def killed(service: Service) -> None:
    """Kill the server, and start it again, as a supervisor would."""
    service.process.kill()
    service.process.wait()
    time.sleep(DOWN_S)
    service.start()


def locked(service: Service) -> None:
    """Lock its database."""
    database = sqlite3.connect(service.folder / "state.db", isolation_level=None, timeout=30)
    database.execute("BEGIN EXCLUSIVE")
    time.sleep(LOCKED_S)
    database.execute("ROLLBACK")
    database.close()


def full(service: Service) -> None:
    """Fill the disk, and make room again."""
    ballast = service.folder.parent / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 16, 1):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))
    time.sleep(FULL_S)
    ballast.unlink()


def jumped(service: Service) -> None:
    """Put its clock an hour forth, an hour back, and right."""
    for seconds in ("3600", "-3600", "0"):
        service.clock.write_text(seconds)
        time.sleep(JUMP_S)


def attacked(service: Service) -> None:
    """Send everything that is malformed or hostile, eight at a time."""

    async def attack() -> None:
        slots = asyncio.Semaphore(8)

        async def one(case: Request | Wire) -> None:
            async with slots:
                await send("127.0.0.1", service.port, case)

        cases: list[Request | Wire] = [*all_requests(), *wires(2.0, 8_000_000)]
        await asyncio.gather(*map(one, cases))

    asyncio.run(attack())


def nothing(service: Service) -> None:
    """Let it be."""
    time.sleep(3.0)


EVENTS: dict[str, Callable[[Service], None]] = {
    "nothing": nothing,
    "kill -9 of the server, started again": killed,
    f"its database locked for {LOCKED_S:.0f} s": locked,
    f"its disk full for {FULL_S:.0f} s": full,
    "its clock an hour forth, then back": jumped,
    "malformed and hostile requests": attacked,
}


def watched(service: Any, event: Callable[[Any], None], retries: int) -> Seen:
    """Return what clients see before, during and after an event."""
    clients = Clients(service.url, retries)
    try:
        time.sleep(CALM_S)
        event(service)
        time.sleep(AFTER_S)
    finally:
        seen = clients.stop()
    return seen


@contextmanager
def place(folder: Path, event: Callable[[Service], None]) -> Iterator[Path]:
    """Yield the folder of a service."""
    folder.mkdir(parents=True)
    if event is full:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", folder], check=True)
    if event is jumped:
        (folder / "clock").write_text("0")
    try:
        yield folder / "shop"
    finally:
        if event is full:
            subprocess.run(["umount", "-l", folder], check=True)


def row(name: str, folder: Path, policies: Sequence[Path]) -> list[str]:
    """Return a line of the table."""
    event = EVENTS[name]
    with place(folder, event) as shop:
        service = Service(shop, policies)
        try:
            without, with_retry = (watched(service, event, retries) for retries in (0, RETRIES))
        finally:
            service.stop()
        words = [f"log={shop}", "name=log", f"data_dir={folder.parent / f'{folder.name}_data'}", "include_open=true"]
        if recsys(["compact", *words]):
            raise RuntimeError("the compaction failed")
        accepted = [*without.accepted, *with_retry.accepted]
        gone = missing(accepted, folder.parent / f"{folder.name}_data" / "log")
    silence = f"{without.silence:.1f} / {with_retry.silence:.1f}"
    return [name, str(without), str(with_retry), silence, f"{len(accepted):,}", f"{gone:,}"]


def policies_in(folder: Path) -> list[Path]:
    """Return two trained policies."""
    found = []
    for algo in ("random", "myopic"):
        words = [f"algo={algo}", f"name={algo}", f"output_dir={folder}", "resources=inline", "tracking=off"]
        if recsys(["train", *words, "progress=off", "evaluation.users=10", "evaluation.baselines=[]"]):
            raise RuntimeError("the training failed")
        found.append(folder / algo / "last")
    return found


def main() -> None:
    """Let everything happen, one after another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/faults_local"), help="emptied before and after")
    parser.add_argument("--events", nargs="+", choices=list(EVENTS), default=list(EVENTS))
    args = parser.parse_args()
    shutil.rmtree(args.folder, ignore_errors=True)
    policies = policies_in(args.folder.resolve() / "runs")
    table = HERE / "faults_local.md"
    table.touch()
    known = {line.split(" | ")[0].removeprefix("| "): line for line in table.read_text().splitlines()}
    for number, name in enumerate(args.events):
        known[name] = f"| {' | '.join(row(name, args.folder.resolve() / str(number), policies))} |"
        print(known[name], flush=True)
    lines = [
        f"| {' | '.join(HEADER)} |",
        "|---" * len(HEADER) + "|",
        *(known[name] for name in EVENTS if name in known),
    ]
    table.write_text("\n".join(lines) + "\n")
    shutil.rmtree(args.folder)


if __name__ == "__main__":
    main()
