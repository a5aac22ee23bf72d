"""Cumulative regret of every bandit on a stationary problem: it grows ever more slowly, that of random slates does not.

    uv run python experiments/bandit_regret/run.py

Interest exploration with users of one known type and documents that are their topic: nothing changes in a session, all
users are the same, and both the conditional logit of the contextual bandits and the click rates of the n-armed ones can
say the truth. 64 users play in lock-step, which is how late an update comes. Regret is RLlib's own report
(`train/cumulative_regret`), against the mean return of the oracle over many episodes. Writes `results.csv` (a row a
report), `regret.svg` and `summary.md` beside this file.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from recsys_cli.runs import QUIET

os.environ.update(QUIET, OMP_NUM_THREADS="1")

import ray
import torch

from recsys_cli.algos.bandits import regret
from recsys_cli.config.compose import compose

HERE = Path(__file__).parent
TOPICS = 20
AFFINITY = [round(0.06 * topic, 2) for topic in range(TOPICS)]  # of the logarithm: neighbours are hard to distinguish
PROBLEM = (
    "env=interest_exploration",
    "env.horizon=20",
    "env.user_type_distribution=[1]",
    f"env.user_document_mean_affinity_matrix=[{AFFINITY}]".replace(" ", ""),
    f"env.user_document_stddev_affinity_matrix=[{[0.0] * TOPICS}]".replace(" ", ""),
    f"env.topic_distribution={[1 / TOPICS] * TOPICS}".replace(" ", ""),
    f"env.topic_quality_mean={[0.0] * TOPICS}".replace(" ", ""),
    f"env.topic_quality_stddev={[0.0] * TOPICS}".replace(" ", ""),
    "env.num_candidates=10",
)
ALGORITHMS: dict[str, tuple[str, ...]] = {
    "random": ("algo=linear_greedy", "algo.epsilon=1"),
    "linear_greedy, epsilon 0.1": ("algo=linear_greedy",),
    "linucb": ("algo=linucb",),
    "lints": ("algo=lints",),
    "ucb1": ("algo=ucb1",),
    "kl_ucb": ("algo=kl_ucb",),
    "thompson": ("algo=thompson",),
}
ORACLE_EPISODES = 40_000  # an error of its mean would add up over all episodes


@dataclass(frozen=True)
class Row:
    """One report."""

    algorithm: str
    seed: int
    env_steps: int
    cumulative_regret: float


def play(name: str, seed: int, env_steps: int, reference: float) -> list[Row]:
    """Train one seed and return its reports."""
    own = (f"steps={env_steps}", f"report_every={env_steps // 50}", "resources.users_per_runner=64")
    run = compose("train", [*PROBLEM, *own, *ALGORITHMS[name]])
    training, rows = run.algo.make_training(run, seed), []
    training.reference = reference
    torch.set_num_threads(1)
    try:
        while training.steps < env_steps:
            report = training.step()
            rows.append(Row(name, seed, training.steps, round(report["train/cumulative_regret"], 2)))
    finally:
        training.stop()
    return rows


def figure(rows: Sequence[Row], path: Path) -> None:
    """Draw the regret of every seed over env steps."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "bandit_regret"  # the same rows draw the same file
    fig, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    for i, name in enumerate(ALGORITHMS):
        for seed in sorted({row.seed for row in rows}):
            own = [row for row in rows if (row.algorithm, row.seed) == (name, seed)]
            steps = [row.env_steps for row in own]
            label = name if seed == 0 else None
            axes.plot(steps, [row.cumulative_regret for row in own], color=f"C{i}", linewidth=1, label=label)
    most = max(row.cumulative_regret for row in rows if row.algorithm != "random")
    axes.set(xlabel="env steps", ylabel="cumulative regret (clicks)", ylim=(0, 1.1 * most))
    axes.legend()
    fig.savefig(path, metadata={"Date": None})
    plt.close(fig)


def summary(rows: Sequence[Row]) -> str:
    """Return a table: regret at a tenth, at half and at the end, and that of the second half over the first's."""
    lines = ["| algorithm | at 10 % | at 50 % | at the end | second half / first |", "|---|---|---|---|---|"]
    seeds, end = sorted({row.seed for row in rows}), max(row.env_steps for row in rows)
    for name in ALGORITHMS:

        def at(share: float, name: str = name) -> float:
            each = []
            for seed in seeds:
                own = [row for row in rows if (row.algorithm, row.seed) == (name, seed)]
                each.append(min(own, key=lambda row: abs(row.env_steps - share * end)).cumulative_regret)
            return sum(each) / len(each)

        first, second = at(0.5), at(1.0) - at(0.5)
        lines.append(f"| {name} | {at(0.1):,.0f} | {first:,.0f} | {at(1.0):,.0f} | {second / first:.2f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Play every algorithm with every seed, and write rows, figure and table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env-steps", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=HERE, help="folder that gets the files")
    args = parser.parse_args()
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    regret.ORACLE_EPISODES = ORACLE_EPISODES
    reference = regret.oracle_return(compose("train", list(PROBLEM)).env)
    assert reference is not None
    regret.ORACLE_EPISODES = 1  # of no use to a training that is given its reference
    rows: list[Row] = []
    for seed in range(args.seeds):
        for name in ALGORITHMS:
            rows += play(name, seed, args.env_steps, reference)
            print(f"{name}, seed {seed}: {rows[-1].cumulative_regret:,.0f}", flush=True)
    ray.shutdown()
    with (args.out / "results.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(Row)])
        writer.writerows(astuple(row) for row in rows)
    (args.out / "summary.md").write_text(summary(rows))
    figure(rows, args.out / "regret.svg")
    print(summary(rows))


if __name__ == "__main__":
    main()
