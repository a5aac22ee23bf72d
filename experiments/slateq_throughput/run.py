"""SlateQ's training throughput by candidates, slate, reuse and network, with the limit of arithmetic beside it.

    uv run python -m experiments.slateq_throughput.run

Each line trains in this process on one thread, replay and target included, and is measured in CPU seconds. The limit
is the time that the floating-point operations of the gradient steps' matrix products would take at the rate this
machine reaches on a product of two 512 x 512 matrices; simulation, replay and element-wise work are not in it. The
shares say where the time went; `rllib` is what is neither simulation, replay nor gradient steps.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path

from recsys_cli.runs import QUIET

os.environ.update(QUIET, OMP_NUM_THREADS="1")

import ray
import torch

from experiments.clocks import Clocks, train_for
from recsys_cli.algos.q_learning.learner import QLearner
from recsys_cli.config.compose import compose
from recsys_cli.config.schema import TrainConfig
from recsys_cli.rollouts.prioritized import PrioritizedReplay
from recsys_cli.rollouts.replay import ReplayBuffer
from recsys_cli.rollouts.runner import VectorEnvRunner

PAPER = ("algo.network.kind=concat", "algo.network.hidden=[256,32]")
SETTINGS: dict[str, tuple[str, ...]] = {
    "default": (),
    "without memory": ("algo.memory=none",),
    "with memory": ("algo.memory=raw",),
    "default, batch 1024": ("algo.batch_size=1024",),
    "k=3": ("env.slate_size=3",),
    "C=100, k=2": ("env.num_candidates=100",),
    "C=100, k=5": ("env.num_candidates=100", "env.slate_size=5"),
    "C=1000, k=2": ("env.num_candidates=1000", "algo.replay_capacity=100000"),
    "C=1000, k=10": ("env.num_candidates=1000", "env.slate_size=10", "algo.replay_capacity=100000"),
    "reuse 8": ("algo.replay_ratio=8",),
    "reuse 32": ("algo.replay_ratio=32",),
    "prioritized replay": ("algo.replay=prioritized",),
    "paper's network, reuse 8": (*PAPER, "algo.replay_ratio=8"),
    "paper's network, reuse 8, batch 1024": (*PAPER, "algo.replay_ratio=8", "algo.batch_size=1024"),
    "paper's network, reuse 8, C=100": (*PAPER, "algo.replay_ratio=8", "env.num_candidates=100"),
    "paper's network, batch 32 every 4 steps": (*PAPER, "algo.replay_ratio=8", "algo.batch_size=32"),
}
COMPILED = (
    "default",
    "default, batch 1024",
    "C=100, k=2",
    "paper's network, reuse 8",
    "paper's network, reuse 8, batch 1024",
    "paper's network, reuse 8, C=100",
    "paper's network, batch 32 every 4 steps",
)
SETTINGS |= {f"{name}, compiled": (*SETTINGS[name], "framework=torch_compile") for name in COMPILED}
PARTS = {
    "simulation": ((VectorEnvRunner, "sample"),),
    "replay_add": ((ReplayBuffer, "add"),),
    "replay_sample": ((ReplayBuffer, "sample"), (PrioritizedReplay, "sample"), (PrioritizedReplay, "update")),
    "gradient_steps": ((QLearner, "_update"),),
}


@dataclass(frozen=True)
class Row:
    """One line of the table; speeds in env steps per CPU second, parts as shares of the CPU time.

    `replay_mb` is what the replay buffer takes in memory for a million transitions, in 10^6 bytes; `first_update_s` is
    the CPU seconds of the first update, in which gradient steps are compiled where they are.
    """

    setting: str
    env_steps_per_cpu_s: int
    arithmetic_limit: int
    share_of_limit: float
    share_of_limit_gradient_steps: float
    simulation: float
    replay_add: float
    replay_sample: float
    gradient_steps: float
    rllib: float
    replay_mb: int
    first_update_s: float


def matrix_rate(size: int = 512, rounds: int = 60) -> float:
    """Return the floating-point operations per CPU second of this machine's matrix product on one thread."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    best = 0.0
    for _ in range(5):
        start = time.process_time()
        for _ in range(rounds):
            a @ b
        best = max(best, 2 * size**3 * rounds / (time.process_time() - start))
    return best


def operations_per_row(run: TrainConfig) -> float:
    """Return the floating-point operations of the matrix products that one learned row takes.

    The target network on the next state forward; the online network on the clicked item, or the null, forward and twice
    that back.
    """
    env, net = run.env, run.algo.network
    users, docs = max(run.algo.make_network(env.spec).state_features, 1), len(env.spec.documents)
    if net.kind == "two_tower":  # one row a user; of a one-hot document an output is picked, not multiplied
        sizes = [users, *net.hidden, docs + 2]
        target = online = sum(2 * a * b for a, b in pairwise(sizes))
    else:  # the null item is one more document; first layer: once per user, and a table of documents
        sizes = [*net.hidden, 1]
        per_document = sum(2 * a * b for a, b in pairwise(sizes))
        first = 2 * users * net.hidden[0]
        documents = min(env.num_candidates, docs) if env.spec.documents.one_hot else env.num_candidates
        target, online = first + (documents + 1) * per_document, first + per_document
    return target + 3 * online


def measure(setting: str, words: tuple[str, ...], clocks: Clocks, rate: float, cpu_s: float) -> Row:
    """Train for about `cpu_s` CPU seconds after a warm-up."""
    own = ("env=interest_evolution", "steps=10000000", "report_every=2000", "algo.learning_starts=2000")
    run = compose("train", [*own, *words])
    torch.set_num_threads(1)
    clocks.clear(first=True)
    training = run.algo.make_training(run, 0)
    try:
        total, steps = train_for(cpu_s, training, clocks, warm_up=4_000)
        replay = training.algorithm.replay
        kept = sum(ring.rows * ring.users for ring in replay.rings.values())
    finally:
        training.stop()
    arithmetic = operations_per_row(run) * run.algo.replay_ratio / rate * steps
    shares = {name: round(clocks.seconds[name] / total, 3) for name in PARTS}
    return Row(
        setting=setting,
        env_steps_per_cpu_s=round(steps / total),
        arithmetic_limit=round(steps / arithmetic),
        share_of_limit=round(arithmetic / total, 3),
        share_of_limit_gradient_steps=round(arithmetic / clocks.seconds["gradient_steps"], 3),
        rllib=round(1 - sum(shares.values()), 3),
        replay_mb=round(replay.nbytes() / kept),
        first_update_s=round(clocks.first["gradient_steps"], 1),
        **shares,
    )


def main() -> None:
    """Measure every setting, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu-s", type=float, default=6.0, help="CPU seconds a line of the table")
    parser.add_argument("--only", default="", help="measure the settings whose name holds this")
    parser.add_argument("--csv", type=Path, default=Path(__file__).with_name("results.csv"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    rate, clocks = matrix_rate(), Clocks(PARTS)
    print(f"matrix product: {rate / 1e9:.1f} GFLOP per CPU second, one thread")
    print("| " + " | ".join(field.name for field in fields(Row)) + " |")
    print("|---" * len(fields(Row)) + "|")
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    rows = []
    for setting, words in SETTINGS.items():
        if args.only in setting:
            rows.append(measure(setting, words, clocks, rate, args.cpu_s))
            print("| " + " | ".join(str(value) for value in asdict(rows[-1]).values()) + " |", flush=True)
    ray.shutdown()
    if not args.only:
        with args.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
            writer.writeheader()
            writer.writerows(asdict(row) for row in rows)


if __name__ == "__main__":
    main()
