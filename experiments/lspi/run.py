"""Least-squares policy iteration from random logs of 1,000 to 10,000 steps; by playing: `experiments.curves.run`.

    uv run python -m experiments.lspi.run

Records a random log for every row and learns from it with `recsys record` and `recsys train`; plays what was learned on
2,000 fresh users, which no learner sees. Run again, it continues where it stopped. Writes `logs.csv` and `results.md`
beside this file; logs and runs go to `--folder`.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
from collections import defaultdict
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

from recsys_cli.cli import main as recsys
from recsys_cli.files import read_jsonl
from recsys_cli.offline.dataset import Dataset

HERE = Path(__file__).parent
ENV = ("env=interest_evolution",)
QUIET = ("resources=inline", "tracking=off", "progress=off", "evaluation.baselines=[]")
SETTINGS = {  # words of the problem, mean length of a random session
    "10/3": ((*ENV, "env.slate_size=3"), 70.9),
    "10/2": ((*ENV, "env.slate_size=2"), 83.8),
}
SIZES = (1_000, 3_000, 10_000)
LEARNERS = {"": (), "without memory": ("algo.memory=none",)}
LOGS = 5

Row = dict[str, Any]


def from_logs(problem: str, size: int, learner: str, seed: int) -> list[Row]:
    """Record a log, learn from it, and play what was learned."""
    words, length = SETTINGS[problem]
    log = f"random_{problem.replace('/', '_')}_{size}_{seed}"
    run = f"{log}_{learner.replace(' ', '_')}".strip("_")
    if not (Path("data") / log / "dataset.yaml").exists():
        episodes = f"episodes={round(size / length)}"
        require(recsys(["record", "algo=random", *words, episodes, f"seed={seed}", f"name={log}", "progress=off"]))
    if not Path("runs", run, "seed_0", "evaluation.json").exists():
        require(recsys(["train", "algo=lspi", f"data={log}", *words, *QUIET, *LEARNERS[learner], f"name={run}"]))
    folder = Path("runs") / run / "seed_0"
    last = reports(folder)[-1]
    return [
        {
            "problem": problem,
            "size": size,
            "learner": learner,
            "seed": seed,
            "steps": Dataset.open(Path("data") / log).steps,
            "return": json.loads((folder / "evaluation.json").read_text())["policies"]["lspi"]["return"]["mean"],
            "estimated": last.get("ope/return"),  # None: refused
            "cpu_s": last["time/train_cpu_s"],
        }
    ]


def require(code: int) -> None:
    """End if a command failed."""
    if code:
        raise SystemExit(code)


def reports(folder: Path) -> list[Row]:
    """Return the metrics of a seed's reports."""
    return [row["metrics"] for row in read_jsonl(folder / "metrics.jsonl")]


def kept(file: str, jobs: list[tuple[Callable[..., list[Row]], tuple[Any, ...]]]) -> list[Row]:
    """Do all jobs, keeping the rows in a file, and return them."""
    rows = [row for work, arguments in jobs for row in work(*arguments)]
    with (HERE / file).open("w", newline="") as to:
        table = csv.DictWriter(to, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return rows


def logs_table(rows: list[Row]) -> str:
    """Return the table of what was learned from logs."""
    lines = ["| problem | steps | LSPI | returns, five logs | mean | `ope/return` | CPU s |"]
    lines += ["|---|---|---|---|---|---|---|"]
    groups: dict[tuple[str, int, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["problem"], row["size"], row["learner"]].append(row)
    for (problem, _, learner), group in groups.items():
        returns = [row["return"] for row in group]
        steps = statistics.mean(row["steps"] for row in group)
        estimated = " ".join("refused" if row["estimated"] is None else f"{row['estimated']:.0f}" for row in group)
        seconds = max(row["cpu_s"] for row in group)
        each = " ".join(f"{value:.1f}" for value in returns)
        what = learner or "as it is"
        mean = f"{statistics.mean(returns):.1f}"
        lines.append(f"| {problem} | {steps:,.0f} | {what} | {each} | {mean} | {estimated} | {seconds:.1f} |")
    return "\n".join(lines)


def main() -> None:
    """Do all that is not done yet, and write the tables."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--folder", type=Path, default=Path("lspi_runs"))
    given = arguments.parse_args()
    folder: Path = given.folder
    folder.mkdir(parents=True, exist_ok=True)
    with chdir(folder):
        learned = kept(
            "logs.csv",
            [
                (from_logs, (problem, size, learner, seed))
                for problem in SETTINGS
                for size in SIZES
                for learner in LEARNERS
                if not learner or (problem == "10/3" and size == SIZES[-1])
                for seed in range(LOGS)
            ],
        )
    (HERE / "results.md").write_text(f"{logs_table(learned)}\n")
    print((HERE / "results.md").read_text())


if __name__ == "__main__":
    main()
