"""Requests a second of server CPU, of this service and of what it stands beside.

    uv run python -m experiments.serving.throughput                  # all, at 10 and 100 candidates
    uv run python -m experiments.serving.throughput --only local --seconds 3 --rounds 3

SlateQ (10 candidates, slates of 2) behind every server but the no-ops; everything on: strict input, exploration with
propensities, router, log. Variants of a group run side by side and take turns, so that a busy machine is busy for all;
CPU is that of all processes of a server. Prints a markdown table of medians over the rounds, and writes all of them.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.serving.servers import RECSYS, Load, Server, has_wrk, started
from recsys_cli.serving.backends.ray_settings import free_ports

TRAIN = ("train", "env=interest_evolution", "algo=slateq", "env.slate_size=2", "debug=smoke", "steps=6000")
USERS, REST_S = 64, 5.0
TORCH = "import sys, recsys_cli.serving.model as m, recsys_cli.cli as c; m.twin_of = lambda p: p; sys.exit(c.main())"
GROUPS = {
    "serve": ("noop haproxy", "noop ours", "noop default", "ray"),
    "mlflow": ("mlflow", "mlflow as it comes", "ray", "local"),
    "local": ("noop local", "local", "torch"),
}


@dataclass(frozen=True)
class Row:
    """One measurement."""

    group: str
    server: str
    candidates: int
    users: int
    round: int
    requests: int
    refused: int
    us_per_request: float
    p50_ms: float
    p99_ms: float


def make_bodies(folder: Path) -> dict[tuple[int, int, bool], Path]:
    """Write the bodies: by candidates, users of a request, and whether they are for MLflow."""
    rng, bodies = np.random.default_rng(0), {}
    for candidates in (10, 100):
        one = _request(rng, candidates)
        contents: dict[tuple[int, int, bool], Any] = {
            (candidates, 1, False): one,
            (candidates, USERS, False): {"requests": [_request(rng, candidates) for _ in range(USERS)]},
        }
        if candidates == 10:
            doc = [[each["features"] for each in one["candidates"]]]
            contents[candidates, 1, True] = {"inputs": {"user": [one["user"]], "doc": doc}}
        for key, content in contents.items():
            bodies[key] = folder / f"body_{'_'.join(map(str, key))}.json"
            bodies[key].write_text(json.dumps(content, separators=(",", ":")))
    return bodies


def _request(rng: np.random.Generator, candidates: int) -> dict[str, Any]:
    """Return a user of interest evolution and documents of one topic each."""
    topics = np.eye(20)[rng.integers(20, size=candidates)]
    shown = [{"id": f"d{number}", "features": topic} for number, topic in enumerate(topics.tolist())]
    return {"user": rng.uniform(-1, 1, 20).round(4).tolist(), "candidates": shown}


@contextmanager
def server(name: str, folder: Path) -> Iterator[Server]:
    """Start a server by its name in `GROUPS`."""
    port = free_ports(1)[0]
    url, place = f"http://127.0.0.1:{port}", folder / name.replace(" ", "_")
    serve = ["serve", "checkpoint=slateq", "explore=epsilon:0.1", f"port={port}", "tracking=off"]
    serve += [f"output_dir={folder / 'runs'}", f"name={name.replace(' ', '_')}"]
    if name.startswith("noop"):
        command, probe = [sys.executable, "-m", "experiments.serving.noop", name.split()[1], str(port)], "/docs"
    elif name.startswith("mlflow"):
        store = f"sqlite:///{folder / 'runs' / 'mlflow.db'}"
        command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/slateq/1", "-p", str(port)]
        command, probe = [*command, "--env-manager", "local"], "/ping"
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # it runs uvicorn by its name
        variables = {"MLFLOW_TRACKING_URI": store, "PATH": path}
        if name == "mlflow as it comes":  # torch computes with a thread on each core
            variables["OMP_NUM_THREADS"] = str(os.cpu_count())
        with started(command, url, probe, place, variables) as running:
            yield running
        return
    elif name == "torch":
        command, probe = [sys.executable, "-c", TORCH, *serve], "/v2/health/ready"
    elif name == "local":
        command, probe = [*RECSYS, *serve], "/v2/health/ready"
    else:
        replicas = 2 if name == "ray two" else 1
        command = [*RECSYS, *serve, "serving=ray", f"serving.replicas={replicas}", f"serving.max_replicas={replicas}"]
        probe = "/v2/health/ready"
    with started(command, url, probe, place) as running:
        yield running


def bodies_for(name: str) -> Sequence[tuple[int, int, bool]]:
    """Return what a server is asked: candidates, users, and whether by MLflow's words."""
    if name.startswith("mlflow"):
        return [(10, 1, True)]
    if name in ("local", "ray"):
        return [(10, 1, False), (100, 1, False), (10, USERS, False)]
    return [(10, 1, False), (100, 1, False)]


def measure(group: str, folder: Path, rounds: int, seconds: float) -> Iterator[Row]:
    """Measure the servers of a group, in turns."""
    bodies = make_bodies(folder)
    with ExitStack() as stack:
        servers = {name: stack.enter_context(server(name, folder)) for name in GROUPS[group]}
        print("at rest:", ", ".join(at_rest(servers)), flush=True)
        for number in range(-1, rounds):
            for name, running in servers.items():
                for key in bodies_for(name):
                    path = "/invocations" if key[2] else "/v1/rank"
                    load = running.load(path, bodies[key], seconds=seconds if number >= 0 else 1.0)
                    if number >= 0:  # the first round warms up
                        yield _row(group, name, key, number, load)


def at_rest(servers: Mapping[str, Server]) -> Iterator[str]:
    """Return how much of a core each server takes without requests."""
    before = {name: running.cpu() for name, running in servers.items()}
    time.sleep(REST_S)
    for name, running in servers.items():
        used = sum(seconds - before[name].get(pid, 0.0) for pid, seconds in running.cpu().items())
        yield f"{name} {used / REST_S:.1%} of a core"


def _row(group: str, name: str, key: tuple[int, int, bool], number: int, load: Load) -> Row:
    return Row(group, name, key[0], key[1], number, load.requests, load.refused, load.per_request, load.p50, load.p99)


def table(rows: Sequence[Row]) -> list[str]:
    """Return the medians as markdown."""
    lines = ["| group | server | candidates | users | us of CPU | requests / CPU s | p50 ms | p99 ms | refused |"]
    lines.append("|---|---|---|---|---|---|---|---|---|")
    keys = dict.fromkeys((row.group, row.server, row.candidates, row.users) for row in rows)
    for key in keys:
        found = [row for row in rows if (row.group, row.server, row.candidates, row.users) == key]
        cost, p50, p99 = (statistics.median(getattr(row, each) for row in found) for each in _MEDIANS)
        refused = sum(row.refused for row in found)
        cells = [*map(str, key), f"{cost:,.0f}", f"{1e6 / cost:,.0f}", f"{p50:.1f}", f"{p99:.1f}", str(refused)]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


_MEDIANS = ("us_per_request", "p50_ms", "p99_ms")


def main() -> None:
    """Measure the groups that are asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="*", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("throughput.csv"))
    asked = parser.parse_args()
    if not has_wrk():
        raise SystemExit("wrk is needed: apt install wrk")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="recsys-throughput-") as name:
        folder = Path(name)
        prepare(folder)
        for group in asked.only:
            rows += measure(group, folder, asked.rounds, asked.seconds)
            print("\n".join(table([row for row in rows if row.group == group])), flush=True)
    with asked.output.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(Row.__dataclass_fields__), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def prepare(folder: Path) -> None:
    """Train and register a small SlateQ."""
    train = [*RECSYS, *TRAIN, "resources=inline", "name=slateq", "progress=plain"]
    register = [*RECSYS, "register", "checkpoint=slateq", "name=slateq"]
    for command in (train, register):
        subprocess.run(command, cwd=folder, check=True, capture_output=True)


if __name__ == "__main__":
    main()
