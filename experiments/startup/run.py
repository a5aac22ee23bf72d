"""From the return key to the first report and to the prompt, on a quiet machine and under load.

    uv run python -m experiments.startup.run times                  # train, train inline, evaluate
    uv run python -m experiments.startup.run times --hogs 6
    uv run python -m experiments.startup.run starts --hogs 6        # 20 starts: failures, processes left
    uv run python -m experiments.startup.run times --program <other checkout>/.venv/bin/recsys

A hog is a process that does nothing but use a core. The first report comes a third of a second after the first gradient
step. CPU seconds are those of the command and of all processes below it. The first round, which compiles and caches, is
left out. Prints a markdown table.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TRAIN = ("train", "env=interest_evolution", "algo=slateq", "name=run")
COMMANDS = {
    "train": TRAIN,
    "train, resources=inline": (*TRAIN, "resources=inline"),
    "evaluate": ("evaluate", "checkpoint=run/seed_0"),
}


@dataclass(frozen=True)
class Taken:
    """Seconds from the start of a command, and what it used."""

    first_line: float
    first_report: float | None
    prompt: float
    cpu: float
    code: int


@contextmanager
def hogs(number: int) -> Iterator[None]:
    """Keep cores busy in this block."""
    busy = [multiprocessing.Process(target=_burn, daemon=True) for _ in range(number)]
    for process in busy:
        process.start()
    try:
        yield
    finally:
        for process in busy:
            process.kill()


def _burn() -> None:
    while True:
        sum(range(10_000))


def timed(program: str, words: tuple[str, ...], folder: Path) -> Taken:
    """Run a command in a folder, and look for its first report while it runs."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began, wall = time.monotonic(), time.time()
    process = subprocess.Popen(
        [program, *words], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    printed = process.stdout.readline()
    first_line = time.monotonic() - began
    printed += process.stdout.read()
    code, prompt = process.wait(), time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if code:
        print(printed, file=sys.stderr)
    journals = list(folder.glob("runs/run/seed_0/metrics.jsonl")) if words[0] == "train" else []
    times = [json.loads(journal.read_text().splitlines()[0])["time"] - wall for journal in journals]
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Taken(first_line, times[0] if times else None, prompt, cpu, code)


def times(program: str, rounds: int) -> list[str]:
    """Return the rows of the table: medians over the rounds."""
    taken: dict[str, list[Taken]] = {name: [] for name in COMMANDS}
    for number in range(rounds + 1):
        with tempfile.TemporaryDirectory(prefix="recsys-startup-") as folder:
            for name, words in COMMANDS.items():
                if words[0] == "train":
                    subprocess.run(["rm", "-rf", "runs"], cwd=folder, check=True)
                one = timed(program, words, Path(folder))
                if number:
                    taken[name].append(one)
    rows = ["| command | first line | first report | prompt | CPU seconds |", "|---|---|---|---|---|"]
    for name, found in taken.items():
        reports = [one.first_report for one in found if one.first_report is not None]
        report = f"{statistics.median(reports):.1f} s" if reports else ""
        line, prompt, cpu = (
            statistics.median(getattr(one, key) for one in found) for key in ("first_line", "prompt", "cpu")
        )
        rows.append(f"| {name} | {line:.1f} s | {report} | {prompt:.1f} s | {cpu:.1f} |")
    return rows


def starts(program: str, number: int) -> list[str]:
    """Return the rows about trainings started one after another: how many failed, how long they took, what was left."""
    failed, left, prompts = 0, 0, []
    for _ in range(number):
        with tempfile.TemporaryDirectory(prefix="recsys-startup-") as folder:
            taken = timed(program, (*TRAIN, "debug=smoke", "tracking=off"), Path(folder))
        failed += taken.code != 0
        prompts.append(taken.prompt)
        print(f"{len(prompts)}: {taken.prompt:.0f} s, exit code {taken.code}", file=sys.stderr, flush=True)
        time.sleep(2)
        left += len(ray_processes())
    return [
        "| starts | failed | slowest, to the prompt | processes left |",
        "|---|---|---|---|",
        f"| {number} | {failed} | {max(prompts):.0f} s | {left} |",
    ]


def ray_processes() -> list[str]:
    """Return the command lines of all Ray processes of this machine."""
    lines = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in lines if "/raylet" in line or "gcs_server" in line or line.startswith("ray::")]


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=["times", "starts"])
    parser.add_argument("--hogs", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--program", default=str(Path(sys.executable).with_name("recsys")))
    asked = parser.parse_args()
    with hogs(asked.hogs):
        rows = times(asked.program, asked.rounds) if asked.part == "times" else starts(asked.program, asked.starts)
    print("\n".join(rows))


if __name__ == "__main__":
    main()
