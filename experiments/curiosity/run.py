"""Whether intrinsic curiosity helps policy gradients: PPO with random network distillation.

    uv run python -m experiments.curiosity.run

The training users' rewards get a bonus for what is new (Burda et al. 2018, arXiv 1810.12894): the error of a network
that learns to predict a fixed random one from user, session memory and slate, in units of its deviation so far, times
the reward's deviation so far and `--bonus`. Fresh users without bonus judge the policy. Writes `results.csv` and
`results.md` beside this file; what the csv has is not trained again.
"""

from __future__ import annotations

import argparse
import csv
import logging
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from experiments.slateq_beyond.run import EXPLORATION
from recsys_cli.config.compose import compose
from recsys_cli.evaluation.statistics import mean_interval
from recsys_cli.networks.item_values import mlp
from recsys_cli.networks.optimizers import fused_adam
from recsys_cli.policies.memory import new_memory
from recsys_cli.rollouts.episodes import play
from recsys_cli.runs.inline import without_ray
from recsys_cli.runs.ray_private import quiet_logs

HERE = Path(__file__).parent
PROBLEMS = {
    "exploration, four hidden types": (*EXPLORATION, "algo.memory=documents"),
    "evolution, 10/3": ("env=interest_evolution", "env.slate_size=3"),
}
USERS, EVALUATION_SEED = 2_000, 1_000_000
COLUMNS = ("problem", "bonus", "seed", "score", "env_steps")


class Deviation:
    """The standard deviation of all numbers seen."""

    def __init__(self) -> None:
        """Have seen none."""
        self.sums = np.zeros(3)

    def of(self, numbers: NDArray[Any]) -> float:
        """Add numbers and return the deviation."""
        self.sums += len(numbers), numbers.sum(), np.square(numbers).sum()
        number, total, squares = self.sums
        return float(np.sqrt(max(squares / number - np.square(total / number), 1e-12)))


class Distillation:
    """Bonuses for what a predictor of a random network has not learned yet."""

    def __init__(self, inputs: int, seed: int) -> None:
        """Make both networks."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.target, self.predictor = mlp([inputs, 64, 64, 32]), mlp([inputs, 64, 64, 32])
        self.adam, self.unit = fused_adam(list(self.predictor.parameters()), 1e-3), Deviation()

    def bonus(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the bonuses `[n]` of inputs `[n, I]`, and learn them."""
        seen = torch.from_numpy(x)
        with torch.no_grad():
            target = self.target(seen)
        error = (self.predictor(seen) - target).square().mean(-1)
        self.adam.zero_grad()
        error.mean().backward()
        nn.utils.clip_grad_norm_(self.predictor.parameters(), 1.0)
        self.adam.step()
        novelty = error.detach().double().numpy()
        return np.asarray(novelty / self.unit.of(novelty))


def make_curious(env: Any, bonus: float, seed: int) -> None:
    """Let all users of a problem made from now on pay the bonus too."""
    make, spec = env.make_vec, env.spec

    def curious(users: int, **how: Any) -> Any:
        vec = make(users, **how)
        memory, reward_unit = new_memory("documents", spec, users), Deviation()
        before: dict[str, Any] = {}
        reset, step = vec.reset, vec.step
        distillation: list[Distillation] = []

        def begin(**options: Any) -> Any:
            observation, info = reset(**options)
            memory.restart()
            before.update(observation=observation, ended=np.zeros(users, bool))
            return observation, info

        def go_on(slates: NDArray[Any]) -> Any:
            observation, reward, terminated, truncated, info = step(slates)
            last = memory.extend(before["observation"])
            documents = spec.documents.dense(np.asarray(last["doc"])[np.arange(users)[:, None], slates]).mean(1)
            x = np.concatenate([last["user"], last["memory"], documents], axis=1).astype(np.float32)
            if not distillation:
                distillation.append(Distillation(x.shape[1], seed))
            paid = bonus * reward_unit.of(reward) * distillation[0].bonus(x) * ~before["ended"]
            memory.step(before["observation"], slates, observation, before["ended"])
            before.update(observation=observation, ended=terminated | truncated)
            return observation, reward + paid, terminated, truncated, info

        vec.reset, vec.step = begin, go_on
        return vec

    env.make_vec = curious


def score(problem: str, bonus: float, seed: int, steps: int) -> tuple[float, int]:
    """Train PPO and return its greedy return on fresh users, and its env steps."""
    words = (f"steps={steps}", "report_every=50_000", "resources=inline")
    run, judge = (compose("train", ["algo=ppo", *PROBLEMS[problem], *words]) for _ in range(2))
    if bonus:
        make_curious(run.env, bonus, seed)
    with without_ray():
        training = run.algo.make_training(run, seed)
        while training.steps < steps:
            training.step()
        returns = play(training.policy(), judge.env, USERS, EVALUATION_SEED).returns
        training.stop()
    return float(returns.mean()), training.steps


def table(rows: list[dict[str, str]]) -> str:
    """Return the rows' means over seeds."""
    scores = defaultdict(list)
    for row in rows:
        scores[row["problem"], row["bonus"]].append(float(row["score"]))
    lines = [f"| {problem} | {bonus} | {mean_interval(of)} | {len(of)} |" for (problem, bonus), of in scores.items()]
    return "\n".join(["| problem | bonus | return | seeds |\n|---|---|---|---|", *lines]) + "\n"


def main() -> None:
    """Train what is missing, and write what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300_000)
    parser.add_argument("--bonus", type=float, nargs="+", default=[0.0, 0.1, 1.0])
    args = parser.parse_args()
    quiet_logs()
    logging.disable(logging.WARNING)
    path = HERE / "results.csv"
    rows = list(csv.DictReader(path.open())) if path.exists() else []
    done = {(row["problem"], float(row["bonus"]), int(row["seed"])) for row in rows}
    for seed in range(args.seeds):
        for problem in PROBLEMS:
            for bonus in args.bonus:
                if (problem, bonus, seed) in done:
                    continue
                mean, steps = score(problem, bonus, seed, args.steps)
                values = (problem, f"{bonus:g}", str(seed), f"{mean:.3f}", str(steps))
                rows.append(dict(zip(COLUMNS, values, strict=True)))
                with path.open("w", newline="") as file:
                    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
                    writer.writeheader()
                    writer.writerows(rows)
    text = table(sorted(rows, key=lambda row: (row["problem"], float(row["bonus"]))))
    (HERE / "results.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
