"""Behaviours x sizes of logs x learners: what is learned, and how far it can be known without a simulator.

    uv run python -m experiments.offline.run coverage --workers 2
    uv run python -m experiments.offline.run grid --workers 2
    uv run python -m experiments.offline.run grid --gradient --workers 1
    uv run python -m experiments.offline.run regret
    uv run python -m experiments.offline.run figures

`coverage` and `grid` append to `.jsonl` files in `--out` and skip what is there; the tables and figures are made from
these files whenever something was added. All but `grid --gradient` needs neither Ray nor MLflow.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1")

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from experiments.offline import coverage, grid, pool, regret, tables, truths

HERE = Path(__file__).parent
PARTS = ("coverage", "grid", "regret", "figures")


def main(arguments: list[str] | None = None) -> None:
    """Do the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="after which no task is begun")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder that gets rows, tables and figures")
    parser.add_argument("--users", type=int, default=truths.USERS, help="that play each policy, for its true return")
    parser.add_argument("--seeds", type=int, help="logs of each setting")
    parser.add_argument("--sizes", type=int, nargs="+", help="steps of a log")
    parser.add_argument("--gradient", action="store_true", help="the learners that need Ray")
