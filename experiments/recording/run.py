"""How fast users are recorded, in what layout, and what a data set of ten million steps takes.

    uv run python -m experiments.recording.run            # speed and layouts, a minute
    uv run python -m experiments.recording.run --large    # ten million steps, a few minutes and 300 MB

Prints tables and writes `speed.csv`, `layouts.csv` and, with `--large`, `large.csv` beside this file. Times are CPU
seconds, of one process: the machine may be busy with others.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from recsys_cli.config import structured
from recsys_cli.config.explore import Explore
from recsys_cli.evaluation.behaviour import Behaviour
from recsys_cli.offline.dataset import Dataset
from recsys_cli.offline.layout import from_table, to_table
from recsys_cli.offline.recording import play_round, record
from recsys_cli.offline.writer import Writer

HERE = Path(__file__).parent
EPISODES, ROUNDS = 4_096, 5
LARGE_EPISODES = 141_000  # of random users of interest evolution: 10 million steps
CASES: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "interest_evolution, random": ("random", "none", "interest_evolution", {}),
    "interest_evolution, myopic, epsilon:0.3": ("myopic", "epsilon:0.3", "interest_evolution", {}),
    "interest_evolution, myopic, plackett_luce:1": ("myopic", "plackett_luce:1", "interest_evolution", {}),
    "interest_evolution, random, 5 to 10 candidates": (
        *("random", "none", "interest_evolution"),
        {"num_candidates": [5, 10]},
    ),
    "interest_exploration, random (dense documents)": ("random", "none", "interest_exploration", {}),
    "long_term_satisfaction, random (dense documents)": ("random", "none", "long_term_satisfaction", {}),
}
LAYOUTS: dict[str, dict[str, Any]] = {
    "as written": {},
    "with dictionaries": {"use_dictionary": True},
    "lz4 instead of zstd": {"compression": "lz4"},
    "zstd level 3": {"compression_level": 3},
}


def behaviour(case: str) -> Behaviour:
    """Return a case's policy on its problem, slates of 3."""
    algo, explore, env, keys = CASES[case]
    problem = structured.load("env", env, slate_size=3, **keys)
    return Behaviour.untrained(structured.load("algo", algo), problem, Explore.parse(explore))


def speed(case: str, folder: Path) -> dict[str, Any]:
    """Return steps per CPU second of playing alone and of the whole recording, and bytes a step: medians."""
    by, played, whole = behaviour(case), [], []
    for number in range(ROUNDS + 1):
        start = time.process_time()
        steps = play_round(by.acting, by.env, 2_048, 0, number)
        middle = time.process_time()
        writer = Writer(folder / f"{case}-{number}", by.env.spec, {})
        dataset = record(writer, by.acting, by.env, episodes=EPISODES, seed=number)
        played.append(steps.num_steps / (middle - start))
        whole.append(dataset.steps / (time.process_time() - middle))
    size = sum(part.bytes for part in dataset.parts) / dataset.steps
    medians = (statistics.median(values[1:]) for values in (played, whole))  # the first warms up
    return dict(zip(("case", "played", "recorded", "bytes"), (case, *map(round, medians), round(size, 1)), strict=True))


def layouts(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield rows written and read per CPU second in several layouts, and bytes a row."""
    by = behaviour("interest_evolution, random")
    steps = play_round(by.acting, by.env, 2_048, 0, 0)
    table, spec = to_table(steps, by.env.spec), by.env.spec
    shuffled = table.take(steps.step.argsort(kind="stable"))  # as users in lock-step would be written
    common = {"compression": "zstd", "compression_level": 1, "use_dictionary": False, "write_statistics": False}
    for name, changes in {**LAYOUTS, "sorted by step": {}}.items():
        settings = common | changes
        if settings["compression"] == "lz4":
            del settings["compression_level"]
        path, written, read = folder / "layout.parquet", [], []
        for _ in range(ROUNDS + 1):
            start = time.process_time()
            pq.write_table(shuffled if name == "sorted by step" else table, path, **settings)
            middle = time.process_time()
            from_table(pq.read_table(path, use_threads=False), spec)
            written.append(len(steps) / (middle - start))
            read.append(len(steps) / (time.process_time() - middle))
        medians = (round(statistics.median(values[1:])) for values in (written, read))
        sizes = (name, *medians, round(path.stat().st_size / len(steps), 1))
        yield dict(zip(("layout", "written", "read", "bytes"), sizes, strict=True))


def command(*words: str) -> dict[str, Any]:
    """Run `recsys` and return what it took."""
    start = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "recsys_cli", *words, "progress=off"], stdout=sys.stderr)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"recsys {' '.join(words)} failed")
    return {
        "command": f"recsys {words[0]}",
        "CPU s": round(used.ru_utime + used.ru_stime, 1),
        "wall s": round(time.monotonic() - start, 1),
        "peak MB": round(used.ru_maxrss / 1e3),
    }


def large(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield what ten million steps take to record, and to describe."""
    words = ["env.slate_size=3", f"episodes={LARGE_EPISODES}", "name=large", f"data_dir={folder}"]
    recorded = command("record", *words)
    dataset = Dataset.open(folder / "large")
    sizes = {"steps": dataset.steps, "MB": round(sum(part.bytes for part in dataset.parts) / 1e6)}
    yield recorded | sizes
    yield command("describe", f"data={folder / 'large'}") | sizes
    start = command("record", "env.slate_size=3", "episodes=1", "name=one", f"data_dir={folder}")  # imports, above all
    yield start | {"command": "recsys record, one episode", "steps": Dataset.open(folder / "one").steps, "MB": 0}


def keep(name: str, rows: list[dict[str, Any]]) -> None:
    """Print rows as a Markdown table and write them as CSV."""
    print(f"\n| {' | '.join(rows[0])} |\n|{'---|' * len(rows[0])}")
    for row in rows:
        print(f"| {' | '.join(f'{value:,}' if isinstance(value, int) else str(value) for value in row.values())} |")
    with (HERE / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="also record and describe ten million steps")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if asked.large:
            keep("large.csv", list(large(folder)))
            return
        keep("speed.csv", [speed(case, folder) for case in CASES])
        keep("layouts.csv", list(layouts(folder)))


if __name__ == "__main__":
    main()
