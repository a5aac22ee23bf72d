"""What compiling SlateQ's gradient step saves, and what it costs.

    uv run python -m experiments.slateq_throughput.compiled

Each line takes gradient steps on transitions of random slates, without Ray, and is measured in CPU seconds on one
thread; optimiser and target network are included. The limit is that of `run.py`.
"""

from __future__ import annotations

import os
import time

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from ray.rllib.core import DEFAULT_MODULE_ID

from experiments.clocks import children_time
from experiments.slateq_throughput.run import PAPER, matrix_rate, operations_per_row
from recsys_cli.algos.q_learning.learner import QLearner
from recsys_cli.config.compose import compose
from recsys_cli.policies import UniformPolicy
from recsys_cli.rollouts.collector import Collector
from recsys_cli.rollouts.replay import ReplayBuffer

SETTINGS: dict[str, tuple[str, ...]] = {
    "default, batch 32": ("algo.batch_size=32",),
    "default": (),
    "default, batch 1024": ("algo.batch_size=1024",),
    "default, C=100": ("env.num_candidates=100",),
    "paper's network, batch 32": (*PAPER, "algo.batch_size=32"),
    "paper's network": PAPER,
    "paper's network, batch 1024": (*PAPER, "algo.batch_size=1024"),
    "paper's network, C=100": (*PAPER, "env.num_candidates=100"),
}
MINIBATCHES = 8


def learner_and_columns(words: tuple[str, ...], minibatches: int) -> tuple[QLearner, dict[str, torch.Tensor]]:
    """Build a learner of these words behind `recsys train`, and one update's columns of transitions."""
    run = compose("train", list(words))
    config = run.algo.algorithm().config_of(run.algo, run, seed=0)
    vec = run.env.make_vec(1)
    spaces = {DEFAULT_MODULE_ID: (vec.single_observation_space, vec.single_action_space)}
    learner = config.build_learner(spaces=spaces)
    rule, n_step = UniformPolicy(run.env.slate_size).distribution, run.algo.n_step_on(run.env.spec)
    collector, replay = Collector(run.env, 256, seed=0), ReplayBuffer(50_000, 1, seed=0, n_step=n_step)
    collector.remember(config.new_policy().new_memory(256))
    replay.add(collector.collect(20, rule, np.random.Generator(np.random.SFC64(0))))
    columns = replay.sample(minibatches * run.algo.batch_size)
    return learner, {name: torch.from_numpy(column) for name, column in columns.items()}


def measure(words: tuple[str, ...], rate: float) -> tuple[float, float, float]:
    """Return the CPU seconds of a gradient step, of the first update, and the share of the limit."""
    run = compose("train", list(words))
    learner, columns = learner_and_columns(words, MINIBATCHES)
    batch = {DEFAULT_MODULE_ID: columns}

    start = time.process_time() + children_time()
    learner._update(batch)
    first = time.process_time() + children_time() - start
    best = float("inf")
    for _ in range(5):
        start, updates = time.process_time(), 0
        while time.process_time() - start < 0.3:
            learner._update(batch)
            updates += 1
        best = min(best, (time.process_time() - start) / (updates * MINIBATCHES))
    return best, first, operations_per_row(run) * run.algo.batch_size / rate / best


def main() -> None:
    """Measure every setting, eager and compiled, and print the table."""
    torch.set_num_threads(1)
    rate = matrix_rate()
    print(f"matrix product: {rate / 1e9:.1f} GFLOP per CPU second, one thread")
    print("| setting | eager, ms | compiled, ms | times faster | share eager | share compiled | compiling, CPU s |")
    print("|---" * 7 + "|")
    for setting, words in SETTINGS.items():
        eager, _, share = measure(words, rate)
        compiled, first, reached = measure((*words, "framework=torch_compile"), rate)
        cells = (f"{eager * 1e3:.2f}", f"{compiled * 1e3:.2f}", f"{eager / compiled:.2f}")
        print("|", " | ".join((setting, *cells, f"{share:.0%}", f"{reached:.0%}", f"{first:.0f}")), "|", flush=True)


if __name__ == "__main__":
    main()
