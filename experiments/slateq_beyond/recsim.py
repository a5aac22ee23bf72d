"""Policies trained on the native users, played on RecSim's own.

    uv run python -m experiments.slateq_beyond.run --tables nulls ablation
    uv run python -m experiments.slateq_beyond.recsim

Every seed's checkpoint is played on the original package (`env.backend=recsim`) and on the native users, as

    uv run recsys evaluate checkpoint=<seed's folder>/last users=1000 env.backend=recsim

does. Writes `recsim.csv` (a row a seed) and `recsim.md` beside this file.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import torch

from recsys_cli.envs.base import NATIVE, RECSIM
from recsys_cli.evaluation.checkpoint import evaluate_checkpoint
from recsys_cli.evaluation.statistics import mean_interval
from recsys_cli.tracking.references import resolve

HERE = Path(__file__).parent
RUNS = {
    "null zero": "nulls/ql-ot-os-zero",
    "null learned": "nulls/ql-ot-os-learned",
    "null learned, memory": "ablation/memory-raw",
}


def returns(trial: Path, users: int) -> dict[str, float]:
    """Return the mean return of a trial's last checkpoint by back end."""
    means, checkpoint = {}, resolve(f"{trial}/last", trial.parent.parent, None)
    for backend in (NATIVE, RECSIM):
        evaluation = evaluate_checkpoint(
            checkpoint, users=users, seed=1_000_000, baselines=[], env_changes={"backend": backend}
        )
        means[backend] = evaluation.scores[0].returns.mean
    return means


def main() -> None:
    """Play every checkpoint there is, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/slateq_beyond"), help="folder that holds the runs")
    parser.add_argument("--users", type=int, default=1000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows, lines = [], ["| run | native | recsim | seeds |", "|---|---|---|---|"]
    for name, folder in RUNS.items():
        trials = sorted((args.runs / folder).glob("seed_*"))
        means = [returns(trial, args.users) for trial in trials]
        rows += [
            [name, trial.name, *(f"{value:.3f}" for value in mean.values())]
            for trial, mean in zip(trials, means, strict=True)
        ]
        native, recsim = (mean_interval([mean[backend] for mean in means]) for backend in (NATIVE, RECSIM))
        lines.append(f"| {name} | {native} | {recsim} | {len(means)} |")
        print(lines[-1], flush=True)
    with (HERE / "recsim.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([["run", "seed", NATIVE, RECSIM], *rows])
    (HERE / "recsim.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
