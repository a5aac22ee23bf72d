"""Behaviours x sizes of logs x learners: what is learned, and how far it can be known without a simulator.

    uv run python -m experiments.offline.run coverage --workers 2
    uv run python -m experiments.offline.run grid --workers 2
    uv run python -m experiments.offline.run grid --gradient
    uv run python -m experiments.offline.run timing
    uv run python -m experiments.offline.run report

`coverage` and `grid` append a line a task to `.jsonl` files in `--out` and skip what is there, so that they may be
killed, or stopped by `--seconds`, at any time. `report` makes tables, summaries and figures of these files. Only
`grid --gradient` needs Ray, and nothing MLflow.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1")

import argparse
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from experiments.offline import coverage, grid, pool, report, timing, truths
from experiments.offline.problems import BEHAVIOURS, PROBLEMS

HERE = Path(__file__).parent


def main(arguments: list[str] | None = None) -> None:
    """Do the part asked for."""
    words = __doc__ or ""
    parser = argparse.ArgumentParser(description=words, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("coverage", "grid", "timing", "report"))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="after which no task is begun")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder of rows, tables and figures")
    parser.add_argument("--users", type=int, default=truths.USERS, help="that play each fixed policy")
    parser.add_argument("--logs", type=int, help="of each setting")
    parser.add_argument("--sizes", type=int, nargs="+", help="steps of a log")
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS), choices=PROBLEMS)
    parser.add_argument("--behaviours", nargs="+", default=list(BEHAVIOURS), choices=BEHAVIOURS)
    parser.add_argument("--learners", nargs="+", choices=(*grid.PURE, *grid.GRADIENT, *grid.FIXED))
    parser.add_argument("--gradient", action="store_true", help="the learners that need Ray")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # columns of a log are only read
    if chosen.part == "report":
        report.write(chosen.out)
        return
    pool.do(truths.tasks(chosen.users), truths.work, chosen.out / "truths.jsonl", workers=chosen.workers)
    lengths = truths.lengths(chosen.out)
    if chosen.part == "timing":
        pool.do(timing.tasks(lengths), timing.work, chosen.out / "timing.jsonl", **_how(chosen))
    elif chosen.part == "coverage":
        tasks = coverage.tasks(lengths, chosen.logs)
        pool.do(_wanted(tasks, chosen), coverage.work, chosen.out / "coverage.jsonl", **_how(chosen))
    else:
        learners = tuple(grid.GRADIENT if chosen.gradient else (*grid.PURE, *grid.FIXED))
        tasks = grid.tasks(learners, lengths, chosen.logs)
        file = chosen.out / ("gradient.jsonl" if chosen.gradient else "grid.jsonl")
        pool.do(_wanted(tasks, chosen), grid.work, file, **_how(chosen))


def _wanted(tasks: Iterator[pool.Task], chosen: argparse.Namespace) -> Iterator[pool.Task]:
    """Yield the tasks of the settings asked for."""
    for task in tasks:
        wanted = {"problem": chosen.problems, "behaviour": chosen.behaviours}
        wanted |= {name: of for name, of in (("size", chosen.sizes), ("learner", chosen.learners)) if of}
        if all(task.get(name, of[0]) in of for name, of in wanted.items()):
            yield task


def _how(chosen: argparse.Namespace) -> dict[str, Any]:
    return {"workers": chosen.workers, "seconds": chosen.seconds}


if __name__ == "__main__":
    main()
