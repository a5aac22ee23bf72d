"""Env steps per CPU second of RLlib's own env runner and of ours, with the same policy, side by side in one process.

    uv run python experiments/rllib_sampling/run.py

Prints a table and writes `results.csv` beside this file. Every line is an env runner of PPO that plays interest
evolution with the same module: a score for every candidate, a slate drawn without replacement, its log-probability
kept. `stock` is RLlib's `SingleAgentEnvRunner`; `on recsim` plays the original package's users, one gymnasium env each,
which is RLlib's default path. Rounds of all lines alternate, so that all see the same machine; the median counts.
"""

from __future__ import annotations

import argparse
import csv
import logging
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from recsys_cli.runs import QUIET

os.environ.update(QUIET, OMP_NUM_THREADS="1")

import torch
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner

import recsys_cli  # noqa: F401 - registers the problems
from recsys_cli.algos.policy_gradient.module import SlateActorCriticModule
from recsys_cli.config.compose import compose
from recsys_cli.config.schema import TrainConfig

ENV_ID = "recsys/InterestEvolution-v0"
ROUND_S = 0.5  # CPU seconds a round, at least


class ObservationModule(SlateActorCriticModule):
    """The module as RLlib's runner calls it, with whole observations."""

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return the scores."""
        return super()._forward(batch[Columns.OBS], **kwargs)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    runner: str
    users: str
    users_at_once: int
    env_steps_per_cpu_s: int
    times_default: float


def run_config(*words: str) -> TrainConfig:
    """Return a run whose policy remembers nothing, as RLlib's runner has no memories."""
    run: TrainConfig = compose("train", ["algo=ppo", "env.slate_size=3", "algo.memory=none", *words])
    return run


def stock(users: int, backend: str, mode: str) -> Callable[[], int]:
    """Return a function that plays on with RLlib's runner and returns the env steps played."""
    run = run_config()
    own = {"settings": run.algo, "problem": run.env}
    config = (
        PPOConfig()
        .environment(ENV_ID, env_config={"backend": backend, "slate_size": run.env.slate_size})
        .env_runners(num_envs_per_env_runner=users, gym_env_vectorize_mode=mode, rollout_fragment_length=16)
        .rl_module(rl_module_spec=RLModuleSpec(module_class=ObservationModule, model_config=own))
    )
    runner = SingleAgentEnvRunner(config=config)
    return lambda: sum(len(episode) for episode in runner.sample(num_timesteps=16 * users, explore=True))


def ours(users: int, backend: str) -> Callable[[], int]:
    """Return a function that plays on with our runner and returns the env steps played."""
    words = (f"resources.users_per_runner={users}", f"env.backend={backend}", "algo.rollout_length=16")
    run = run_config(*words)
    config = run.algo.algorithm().config_of(run.algo, run, 0)
    runner = config.env_runner_cls(config=config)
    return lambda: sum(rollout.env_steps() for rollout in runner.sample())


def rounds(play: Callable[[], int]) -> Iterator[float]:
    """Yield the speed, a round at a time."""
    while True:
        start, steps = time.process_time(), 0
        while time.process_time() - start < ROUND_S:
            steps += play()
        yield steps / (time.process_time() - start)


LINES: tuple[tuple[str, str, int, Callable[[], Callable[[], int]]], ...] = (
    ("stock", "recsim", 1, lambda: stock(1, "recsim", "sync")),
    ("stock", "recsim", 32, lambda: stock(32, "recsim", "sync")),
    ("stock", "native, make_vec", 32, lambda: stock(32, "native", "vector_entry_point")),
    ("stock", "native, make_vec", 1024, lambda: stock(1024, "native", "vector_entry_point")),
    ("ours", "recsim", 32, lambda: ours(32, "recsim")),
    ("ours", "native", 32, lambda: ours(32, "native")),
    ("ours", "native", 256, lambda: ours(256, "native")),
    ("ours", "native", 1024, lambda: ours(1024, "native")),
)


def main() -> None:
    """Measure everything, print it and write it down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each line of the table")
    parser.add_argument("--csv", type=Path, default=Path(__file__).with_name("results.csv"))
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    sides = [rounds(make()) for *_, make in LINES]
    speeds = [[next(side) for side in sides] for _ in range(arguments.rounds + 1)][1:]
    medians = [statistics.median(side) for side in zip(*speeds, strict=True)]
    table = [
        Row(runner, users, at_once, round(speed), round(speed / medians[0], 1))
        for (runner, users, at_once, _), speed in zip(LINES, medians, strict=True)
    ]
    print("| env runner | users | at once | env steps per CPU second | times RLlib's default |\n|---|---|---|---|---|")
    for row in table:
        print("|", " | ".join(f"{v:,}" if isinstance(v, int) else str(v) for v in asdict(row).values()), "|")
    with arguments.csv.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(asdict(table[0])), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in table)


if __name__ == "__main__":
    main()
