"""Memory and file handles of a service's processes over many decisions.

    uv run python -m experiments.serving.soak                                    # 200,000 on the local back end
    uv run python -m experiments.serving.soak --backend ray --decisions 100000   # by two replicas

Eight clients ask for 64 users at a time and report a reward for each request. After every tenth of the decisions the
resident memory and the open file handles of each process are written down. At the first, 20,000, the answers that are
kept for repeated events (20,000) have filled up. Appends to `soak.csv` beside this file, and prints a markdown table.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import urllib3

from experiments.serving.servers import Server, command_of
from experiments.serving.throughput import USERS, make_bodies, prepare, server

CLIENTS, SAMPLES = 8, 10
NAMES = (
    "ray::ServeReplica",
    "ray::ServeController",
    "ray::HAProxyManager",
    "haproxy -db",
    "raylet",
    "recsys_cli serve",
)


@dataclass(frozen=True)
class Row:
    """A process after so many decisions."""

    backend: str
    decisions: int
    process: str
    pid: int
    rss_mb: float
    handles: int


def sample(running: Server, backend: str, decisions: int) -> list[Row]:
    """Return what each process holds now."""
    rows = []
    for pid in running.pids():
        name = next((each for each in NAMES if each in command_of(pid)), None)
        if name is None:
            continue
        status = Path(f"/proc/{pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        handles = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        rows.append(Row(backend, decisions, name, pid, int(found[1]) / 1024 if found else 0.0, handles))
    return rows


def ask(running: Server, body: bytes, requests: int) -> None:
    """Send so many requests by all clients together, and a reward after each."""
    pool = urllib3.PoolManager(maxsize=CLIENTS, headers={"content-type": "application/json"})
    failed: list[int] = []

    def client(share: int) -> None:
        for _ in range(share):
            answer = pool.request("POST", f"{running.url}/v1/rank", body=body)
            if answer.status != 200:
                failed.append(answer.status)
                continue
            event = json.loads(answer.data)["decisions"][0]["event_id"]
            reward = pool.request("POST", f"{running.url}/v1/events/{event}/reward", body=b'{"reward":1.0}')
            if reward.status != 202:
                failed.append(reward.status)

    shares = [requests // CLIENTS + (number < requests % CLIENTS) for number in range(CLIENTS)]
    threads = [threading.Thread(target=client, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pool.clear()
    if failed:
        raise RuntimeError(f"{len(failed)} requests failed: {sorted(set(failed))}")


def table(rows: Sequence[Row]) -> list[str]:
    """Return first and last of each process as markdown."""
    lines = ["| back end | process | decisions | MB | change | handles |", "|---|---|---|---|---|---|"]
    for pid in dict.fromkeys(row.pid for row in rows):
        own = [row for row in rows if row.pid == pid]
        first, last = own[0], own[-1]
        change = f"{last.rss_mb / first.rss_mb - 1:+.1%}"
        counts = f"{first.decisions:,} to {last.decisions:,}", f"{first.rss_mb:.0f} to {last.rss_mb:.0f}"
        cells = first.backend, first.process, *counts, change, f"{first.handles} to {last.handles}"
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    """Ask, and write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=("local", "ray"), default="local")
    parser.add_argument("--decisions", type=int, default=200_000)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("soak.csv"))
    asked = parser.parse_args()
    each, rows = asked.decisions // SAMPLES // USERS + 1, list[Row]()
    with tempfile.TemporaryDirectory(prefix="recsys-soak-") as name:
        folder = Path(name)
        prepare(folder)
        body = make_bodies(folder)[10, USERS, False].read_bytes()
        with server("ray two" if asked.backend == "ray" else asked.backend, folder) as running:
            for number in range(1, SAMPLES + 1):
                ask(running, body, each)
                decisions = number * each * USERS
                rows += sample(running, asked.backend, decisions)
                print(f"{decisions:,} decisions", flush=True)
    print("\n".join(table(rows)))
    new = not asked.output.exists()
    with asked.output.open("a", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(Row.__dataclass_fields__), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


if __name__ == "__main__":
    main()
