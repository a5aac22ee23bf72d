"""Least-squares policy iteration: from random logs of 1,000 to 10,000 steps, and by playing, beside SlateQ.

    uv run python -m experiments.lspi.run

Records a random log for every row and learns from it with `recsys record` and `recsys train`; plays what was learned on
2,000 fresh users, which no learner sees. Run again, it continues where it stopped. Writes `logs.csv`, `playing.csv` (a
row per evaluation) and `results.md` beside this file; logs and runs go to `--folder`.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

from recsys_cli.cli import main as recsys
from recsys_cli.evaluation.statistics import mean_interval
from recsys_cli.offline.dataset import Dataset

HERE = Path(__file__).parent
ENV = ("env=interest_evolution",)
QUIET = ("resources=inline", "tracking=off", "progress=off", "evaluation.baselines=[]")
SETTINGS = {  # words of the problem, mean length of a random session, random's and the oracle's return
    "10/3": ((*ENV, "env.slate_size=3"), 70.9, 160.2, 282.1),
    "10/2": ((*ENV, "env.slate_size=2"), 83.8, 154.9, 297.6),
}
SIZES = (1_000, 3_000, 10_000)
LEARNERS = {"": (), "without memory": ("algo.memory=none",)}
LOGS, SEEDS = 5, 5
PLAYERS = {  # words, env steps, and between evaluations
    "lspi": (("algo=lspi",), 4_000, 250),
    "slateq, with memory": (("algo=slateq", "algo.memory=raw"), 300_000, 20_000),
}
WAYS = (0.90, 0.95, 0.98)

Row = dict[str, Any]


def from_logs(problem: str, size: int, learner: str, seed: int) -> list[Row]:
    """Record a log, learn from it, and play what was learned."""
    words, length, _, _ = SETTINGS[problem]
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


def by_playing(learner: str, seed: int) -> list[Row]:
    """Train by playing on 10/3, and return the greedy return at every evaluation."""
    words, steps, every = PLAYERS[learner]
    run = f"play_{learner.replace(', ', '_').replace(' ', '_')}_{seed}"
    folder = Path("runs") / run / f"seed_{seed}"
    if not (folder / "evaluation.json").exists():
        often = (f"steps={steps}", f"report_every={every}", f"evaluation.every={every}", "evaluation.episodes=500")
        kept = ("evaluation.users=100", "checkpoint.every=0", f"seed={seed}", f"name={run}")
        require(recsys(["train", *words, *SETTINGS["10/3"][0], *QUIET, *often, *kept]))
    return [
        {"learner": learner, "seed": seed, "steps": steps, "return": row["eval/return"]}
        for steps, row in numbered(folder)
        if "eval/return" in row
    ]


def require(code: int) -> None:
    """End if a command failed."""
    if code:
        raise SystemExit(code)


def numbered(folder: Path) -> Iterator[tuple[int, Row]]:
    """Yield the steps and metrics of a seed's reports."""
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        yield row["steps"], row["metrics"]


def reports(folder: Path) -> list[Row]:
    """Return the metrics of a seed's reports."""
    return [row for _, row in numbered(folder)]


def kept(file: str, jobs: list[tuple[Callable[..., list[Row]], tuple[Any, ...]]]) -> list[Row]:
    """Do all jobs, keeping the rows in a file, and return them."""
    rows = [row for work, arguments in jobs for row in work(*arguments)]
    with (HERE / file).open("w", newline="") as to:
        table = csv.DictWriter(to, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return rows


def first_beyond(rows: list[Row], level: float) -> int | None:
    """Return the env steps from which on three evaluations in a row are beyond a level, if there are any."""
    beyond = [row["return"] >= level for row in rows]
    for i in range(len(rows) - 2):
        if all(beyond[i : i + 3]):
            return int(rows[i]["steps"])
    return None


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


def playing_table(rows: list[Row]) -> str:
    """Return the table of the env steps that learning by playing takes."""
    _, _, low, high = SETTINGS["10/3"]
    heads = " | ".join(f"{way:.0%}: {low + way * (high - low):.1f}" for way in WAYS)
    lines = [f"| learner | {heads} | return at the end |", "|---|" + "---|" * (len(WAYS) + 1)]
    for learner in PLAYERS:
        curves = defaultdict(list)
        for row in rows:
            if row["learner"] == learner:
                curves[row["seed"]].append(row)
        cells = []
        for way in WAYS:
            found = [first_beyond(curve, low + way * (high - low)) for curve in curves.values()]
            cells.append(" ".join("never" if steps is None else f"{steps:,}" for steps in found))
        last = mean_interval([statistics.mean(row["return"] for row in curve[-3:]) for curve in curves.values()])
        lines.append(f"| {learner} | {' | '.join(cells)} | {last.mean:.1f} ± {last.high - last.mean:.1f} |")
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
        played = kept("playing.csv", [(by_playing, (learner, seed)) for learner in PLAYERS for seed in range(SEEDS)])
    (HERE / "results.md").write_text(f"{logs_table(learned)}\n\n{playing_table(played)}\n")
    print((HERE / "results.md").read_text())


if __name__ == "__main__":
    main()
