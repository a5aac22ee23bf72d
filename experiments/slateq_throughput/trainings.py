"""SlateQ's training by resources: env steps per second of wall clock, replay and target network included.

    uv run python -m experiments.slateq_throughput.trainings
    uv run python -m experiments.slateq_throughput.trainings --resources laptop "no GPU" gpu "gpu, compiled"

Each line trains in this process, with env runners beside it if `resources` has some; the first updates, in which
steps are compiled, are left out. `gradient_steps` and `replay` are this process's CPU seconds for them over those of
the wall clock, with two threads up to 2; of the rest, it waits for env runners or moves their steps.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from recsys_cli.runs import QUIET

os.environ.update(QUIET, OMP_NUM_THREADS="1")

import ray
import torch

from experiments.clocks import Clocks, train_for
from experiments.slateq_throughput.run import PAPER, PARTS
from recsys_cli.config.compose import compose
from recsys_cli.config.errors import ConfigError

SETTINGS: dict[str, tuple[str, ...]] = {
    "default": (),
    "paper's network, reuse 8": (*PAPER, "algo.replay_ratio=8"),
    "paper's network, reuse 8, batch 4096": (*PAPER, "algo.replay_ratio=8", "algo.batch_size=4096"),
}
RESOURCES: dict[str, tuple[str, ...]] = {
    "laptop": ("resources=laptop",),
    "2 threads": ("resources=laptop", "resources.threads=2"),
    "1 runner": ("resources=laptop", "resources.env_runners=1"),
    "2 runners": ("resources=laptop", "resources.env_runners=2"),
    "no GPU": ("resources=gpu", "resources.gpus_per_learner=0"),
    "gpu": ("resources=gpu",),
    "gpu, compiled": ("resources=gpu", "framework=torch_compile"),
}


@dataclass(frozen=True)
class Row:
    """One line of the table; parts as CPU seconds a second of wall clock."""

    setting: str
    resources: str
    env_steps_per_s: int
    gradient_steps: float
    replay: float
    first_update_s: float


def measure(setting: str, resources: str, clocks: Clocks, budget: float) -> Row:
    """Train for about `budget` seconds after a warm-up."""
    own = ("steps=10000000", "report_every=2000", "algo.learning_starts=2000")
    run = compose("train", [*own, *SETTINGS[setting], *RESOURCES[resources]])
    clocks.clear(first=True)
    training = run.algo.make_training(run, 0)
    try:
        spent, steps = train_for(budget, training, clocks, warm_up=30_000, clock=time.perf_counter)
    finally:
        training.stop()
    return Row(
        setting,
        resources,
        env_steps_per_s=round(steps / spent),
        gradient_steps=round(clocks.seconds["gradient_steps"] / spent, 3),
        replay=round((clocks.seconds["replay_add"] + clocks.seconds["replay_sample"]) / spent, 3),
        first_update_s=round(clocks.first["gradient_steps"], 1),
    )


def main() -> None:
    """Measure every setting, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resources", nargs="+", choices=RESOURCES, default=list(RESOURCES)[:4])
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--seconds", type=float, default=8.0, help="wall-clock seconds a line of the table")
    parser.add_argument("--csv", type=Path, help="file that the lines are added to")
    args = parser.parse_args()
    torch.set_num_threads(1)
    clocks = Clocks(PARTS)
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    print("| " + " | ".join(field.name for field in fields(Row)) + " |")
    print("|---" * len(fields(Row)) + "|")
    for resources in args.resources:
        for setting in args.settings:
            try:
                row = measure(setting, resources, clocks, args.seconds)
            except ConfigError as error:  # this machine has less
                print(f"{resources}: left out, {error}", flush=True)
                continue
            print("| " + " | ".join(str(value) for value in asdict(row).values()) + " |", flush=True)
            if args.csv:
                add(row, args.csv)
    ray.shutdown()


def add(row: object, table: Path) -> None:
    """Add a dataclass's fields as a line to a table, which gets a header if it is new."""
    values = asdict(row)  # type: ignore[call-overload]
    new = not table.exists()
    with table.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(values), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(values)


if __name__ == "__main__":
    main()
