"""What tracking costs the driver of a training: CPU time a report, and how many reports a store takes in.

    uv run python -m experiments.mlflow_overhead.run

Trackers as trainings use them log reports of 14 metrics, once a second for every trial, to a SQLite file and to a
real `mlflow server` on this machine; CPU seconds are those of this process, MLflow's import and the first report left
out. Then 2,000 reports are written at once, as after an outage, and the time is taken until the store has them all.
"""

from __future__ import annotations

import argparse
import csv
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from recsys_cli.tracking.folder import read_uploaded
from recsys_cli.tracking.tracker import Tracker

METRICS = {f"learner/metric_{index}": 1.0 / (index + 1) for index in range(14)}  # as many as SlateQ reports
CATCH_UP = 2_000


@dataclass(frozen=True)
class Row:
    """One line of the table.

    `cpu_share` is what tracking took of the CPU time of as many trials, each training on one core; `catch_up` are
    reports a second (of wall-clock time) when many wait.
    """

    store: str
    trials: int
    reports: int
    cpu_ms_a_report: float
    cpu_share: float
    catch_up: int


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Run `mlflow server` with a SQLite store and an artifact folder; yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = f"sqlite:///{folder / 'server.db'}"
    words = ["server", "--backend-store-uri", store, "--artifacts-destination", str(folder / "artifacts")]
    command = [sys.executable, "-m", "mlflow", *words, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        uri = f"http://127.0.0.1:{port}"
        wait_for(uri, process, folder / "server.log")
        yield uri
    finally:
        process.terminate()
        process.wait()


def wait_for(uri: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 180.0) -> None:
    """Wait until a server answers.

    Raises:
        RuntimeError: it does not; holds the end of its log.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError), urllib.request.urlopen(f"{uri}/health", timeout=5):
            return
        time.sleep(0.5)
    raise RuntimeError(f"no MLflow server at {uri}; it said last: {log.read_text()[-2000:]}")


def measure(store: str, uri: str | None, trials: int, seconds: int) -> Row:
    """Log once a second for every trial, then a pile at once."""
    with tempfile.TemporaryDirectory() as base:
        run_dir = Path(base) / "run"
        tracker = Tracker(run_dir, enabled=True, uri=uri, experiment="overhead", register_model=None, say=print)
        folders = [run_dir / f"seed_{seed}" for seed in range(trials)]
        with tracker:
            for folder in folders:
                folder.mkdir(parents=True)
                tracker.open(folder, params={"a": 1}, tags={}, parent=run_dir if trials > 1 else None)
                tracker.log(folder, 0, METRICS)
            wait_until_uploaded(tracker, folders, 1)
            start = time.process_time()
            for second in range(1, seconds + 1):
                for folder in folders:
                    tracker.log(folder, second, METRICS)
                time.sleep(1.0)
            wait_until_uploaded(tracker, folders, seconds + 1)
            cpu = time.process_time() - start
            catch_up = pile(tracker, folders[0], seconds)
        return Row(
            store=store,
            trials=trials,
            reports=trials * seconds,
            cpu_ms_a_report=round(1000 * cpu / (trials * seconds), 2),
            cpu_share=round(cpu / (trials * seconds), 4),
            catch_up=round(catch_up),
        )


def pile(tracker: Tracker, folder: Path, last: int) -> float:
    """Return how many reports a second are taken in when many wait."""
    start = time.perf_counter()
    for step in range(1, CATCH_UP + 1):
        tracker.log(folder, last + step, METRICS)
    wait_until_uploaded(tracker, [folder], last + CATCH_UP + 1)
    return CATCH_UP / (time.perf_counter() - start)


def wait_until_uploaded(tracker: Tracker, folders: list[Path], rows: int) -> None:
    """Wait until the store has so many reports of every trial."""
    while any(read_uploaded(folder, str(tracker.uri)).rows < rows for folder in folders):
        time.sleep(0.1)


def main() -> None:
    """Measure the SQLite file and the server with 1 and 8 trials, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=30, help="how long to log once a second")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as uri:
        for store, address in (("SQLite file", None), ("server", uri)):
            for trials in (1, 8):
                rows.append(measure(store, address, trials, args.seconds))
                print(rows[-1], flush=True)
    with Path(__file__).with_name("results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


if __name__ == "__main__":
    main()
