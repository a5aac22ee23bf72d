"""User steps per CPU second: the vectorised problems against recsim's own loop and RecSim NG, side by side.

    uv run python experiments/simulation_speed/run.py

Prints a table and writes `results.csv` beside this file. recsim and ours play slates drawn beforehand, and hold each
observation until the next one has come, as a policy would. recsim: `create_environment`, `reset` and `step`. Ours:
`gymnasium.make_vec(...)`, `reset` and `step`, observations included. RecSim NG: see `ng.py`, which runs in an
environment of its own that uv makes (1.8 GB on disk). Rounds of all sides alternate, so that
all see the same machine; the median round counts.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from recsys_cli.envs.recsim_compat import recsim_module
from recsys_cli.envs.registration import env_ids
from recsys_cli.slates.uniform import uniform_slates

USERS = 1024
SLATE_SIZE = 2
PROBLEMS = ("interest_evolution", "interest_exploration", "long_term_satisfaction")  # recsim's
CANDIDATES = (10, 100)
NATIVE_STEPS = 40  # a round's steps of all users
HEADER = (
    "| problem | C | k | documents | recsim | NG, own recommender | NG, random slates | ours | times recsim |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Row:
    """One line of the table; speeds in user steps per CPU second."""

    problem: str
    num_candidates: int
    slate_size: int
    documents: str
    recsim: int
    ng_recommender: int | None
    ng_random: int | None
    native: int
    times_faster: int


def native_rounds(env_id: str, num_candidates: int, doc_format: str) -> Iterator[float]:
    """Yield the speed of our vectorised env, a round at a time."""
    options: dict[str, Any] = {} if doc_format == "dense" else {"doc_format": doc_format}
    env = gymnasium.make_vec(env_id, num_envs=USERS, num_candidates=num_candidates, slate_size=SLATE_SIZE, **options)
    drawn = uniform_slates(np.random.default_rng(0), NATIVE_STEPS * USERS, num_candidates, SLATE_SIZE)
    slates = drawn.reshape(NATIVE_STEPS, USERS, SLATE_SIZE)
    held: Any = env.reset(seed=0)
    while True:
        start = time.process_time()
        for step in slates:
            held = env.step(step)  # noqa: F841 - holding it is the point
        yield NATIVE_STEPS * USERS / (time.process_time() - start)


def recsim_rounds(problem: str, num_candidates: int) -> Iterator[float]:
    """Yield the speed of recsim's own environment, a round at a time."""
    factory: Callable[..., Any] = recsim_module(f"environments.{problem}").create_environment
    sizes = {"num_candidates": num_candidates, "slate_size": SLATE_SIZE, "resample_documents": True, "seed": 0}
    env, steps = factory(sizes), max(100, 10_000 // num_candidates)
    slates = uniform_slates(np.random.default_rng(0), steps, num_candidates, SLATE_SIZE)
    held = env.reset()
    while True:
        start = time.process_time()
        for slate in slates:
            held, _, done, _ = env.step(slate)
            if done:
                held = env.reset()  # noqa: F841
        yield steps / (time.process_time() - start)


class RecsimNG:
    """RecSim NG in its own process, which answers for one round after another."""

    def __init__(self) -> None:
        """Start it; uv makes its environment the first time."""
        script = ["uv", "run", "--script", str(Path(__file__).parent / "ng.py"), str(USERS), str(SLATE_SIZE)]
        own = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(script, env=own, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def rounds(self, num_candidates: int, shown: str) -> Iterator[float]:
        """Yield its speed, a round at a time.

        Raises:
            RuntimeError: it does not run here.
        """
        asked, answers, errors = self._process.stdin, self._process.stdout, self._process.stderr
        assert asked is not None and answers is not None and errors is not None
        while True:
            try:
                print(num_candidates, shown, file=asked, flush=True)
                speed = answers.readline()
            except BrokenPipeError:
                speed = ""
            if not speed:
                raise RuntimeError(f"RecSim NG does not run here (--no-ng): {errors.read().strip().splitlines()[-1]}")
            yield float(speed)


def measure(
    problem: str, env_id: str, num_candidates: int, doc_format: str, rounds: int, ng_process: RecsimNG | None
) -> Row:
    """Return the medians of alternating rounds, after one of each to warm up."""
    sides = [recsim_rounds(problem, num_candidates), native_rounds(env_id, num_candidates, doc_format)]
    if ng_process is not None:
        sides += [ng_process.rounds(num_candidates, shown) for shown in ("recommender", "random")]
    speeds = [[next(side) for side in sides] for _ in range(rounds + 1)][1:]
    recsim, native, *ng = (round(statistics.median(side)) for side in zip(*speeds, strict=True))
    with_recommender, with_random = ng or (None, None)
    sizes = (problem, num_candidates, SLATE_SIZE, doc_format)
    return Row(*sizes, recsim, with_recommender, with_random, native, round(native / recsim))


def main() -> None:
    """Measure everything, print it and write it down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="rounds a side, for each line of the table")
    parser.add_argument("--no-ng", action="store_true", help="leave out RecSim NG, which fetches TensorFlow")
    parser.add_argument("--csv", type=Path, default=Path(__file__).parent / "results.csv")
    arguments = parser.parse_args()
    pairs = [pair for pair in env_ids() if pair[0] in PROBLEMS]
    cases = [(*pair, size, "dense") for pair in pairs for size in CANDIDATES]
    cases += [(*pair, size, "index") for pair in pairs for size in CANDIDATES if pair[0] == "interest_evolution"]
    ng_process = None if arguments.no_ng else RecsimNG()
    print(HEADER)
    rows = []
    for case in cases:
        like_ng = case[0] == "interest_evolution" and case[-1] == "dense"
        row = asdict(measure(*case, arguments.rounds, ng_process if like_ng else None))
        rows.append(row)
        cells = (f"{v:,}" if isinstance(v, int) else v or "" for v in row.values())
        print("|", " | ".join(cells), "|", flush=True)
    with arguments.csv.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
