"""Bandits' training throughput, and where the time goes.

    uv run python -m experiments.bandit_throughput.run

Each line trains through RLlib in this process on one thread and is measured in CPU seconds; every round of 1,024 users
is learned at once. The shares say where the time went: `simulation` is the users and their memory, `index` choosing
slates, `posterior` learning, `rllib` the rest (its calls, and handing the posterior over).
"""

from __future__ import annotations

import argparse
import csv
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from recsys_cli.runs import QUIET

os.environ.update(QUIET, OMP_NUM_THREADS="1")

import ray
import torch

from experiments.clocks import Clocks, train_for
from recsys_cli.algos.bandits.algorithm import BanditLearner
from recsys_cli.config.compose import compose
from recsys_cli.policies.armed_bandit import ArmedBanditPolicy
from recsys_cli.policies.item_bandit import ItemBanditPolicy
from recsys_cli.rollouts.runner import VectorEnvRunner

EVOLUTION = ("env=interest_evolution", "env.num_candidates=20")
EXPLORATION = ("env=interest_exploration",)
SETTINGS: dict[str, tuple[str, ...]] = {
    "linucb, evolution 20/2": ("algo=linucb", *EVOLUTION),
    "linucb, one shared model": ("algo=linucb", "algo.parameters=shared", "algo.features=user_doc", *EVOLUTION),
    "linucb, evolution 50/2": ("algo=linucb", "env=interest_evolution", "env.num_candidates=50"),
    "lints, evolution 20/2": ("algo=lints", *EVOLUTION),
    "linear_greedy, evolution 20/2": ("algo=linear_greedy", *EVOLUTION),
    "linucb, exploration 10/2": ("algo=linucb", *EXPLORATION),
    "linucb, exploration 10/2, memory": ("algo=linucb", "algo.memory=documents", *EXPLORATION),
    "linucb, satisfaction 20/2": ("algo=linucb", "env=long_term_satisfaction", "env.num_candidates=20"),
    "kl_ucb per user, exploration 10/2": ("algo=kl_ucb", "algo.statistics=per_user", *EXPLORATION),
    "thompson per user, exploration 10/2": ("algo=thompson", "algo.statistics=per_user", *EXPLORATION),
    "neural_linear, evolution 20/2": ("algo=neural_linear", *EVOLUTION),
}
PARTS = {
    "sample": ((VectorEnvRunner, "sample"),),
    "index": ((ItemBanditPolicy, "act"), (ArmedBanditPolicy, "act")),
    "posterior": ((BanditLearner, "_update"),),
}


@dataclass(frozen=True)
class Row:
    """One line of the table; speed in env steps per CPU second, parts as shares of the CPU time."""

    setting: str
    env_steps_per_cpu_s: int
    simulation: float
    index: float
    posterior: float
    rllib: float


def measure(setting: str, words: tuple[str, ...], clocks: Clocks, cpu_s: float) -> Row:
    """Train for about `cpu_s` CPU seconds after a warm-up."""
    run = compose("train", ["steps=100000000", "report_every=20000", *words])
    training = run.algo.make_training(run, 0)
    torch.set_num_threads(1)
    try:
        total, steps = train_for(cpu_s, training, clocks, warm_up=1)  # one report
    finally:
        training.stop()
    share = {name: clocks.seconds[name] / total for name in PARTS}
    return Row(
        setting=setting,
        env_steps_per_cpu_s=round(steps / total),
        simulation=round(share["sample"] - share["index"], 3),
        index=round(share["index"], 3),
        posterior=round(share["posterior"], 3),
        rllib=round(1 - share["sample"] - share["posterior"], 3),
    )


def main() -> None:
    """Measure every setting, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu-s", type=float, default=4.0, help="CPU seconds a line of the table")
    parser.add_argument("--only", default="", help="measure the settings whose name holds this")
    parser.add_argument("--csv", type=Path, default=Path(__file__).with_name("results.csv"))
    args = parser.parse_args()
    clocks = Clocks(PARTS)
    print("| " + " | ".join(field.name for field in fields(Row)) + " |")
    print("|---" * len(fields(Row)) + "|")
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    rows = []
    for setting, words in SETTINGS.items():
        if args.only in setting:
            rows.append(measure(setting, words, clocks, args.cpu_s))
            print("| " + " | ".join(str(value) for value in asdict(rows[-1]).values()) + " |", flush=True)
    ray.shutdown()
    if not args.only:
        with args.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
            writer.writeheader()
            writer.writerows(asdict(row) for row in rows)


if __name__ == "__main__":
    main()
