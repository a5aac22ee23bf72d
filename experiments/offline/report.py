"""Tables, summaries and figures of the rows that tasks left."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from experiments.offline import coverage, figures, grid, pool, regret, timing, truths
from experiments.offline.problems import BEHAVIOURS, TITLES

LEARNERS = (*grid.PURE, *grid.GRADIENT)


def write(out: Path) -> None:
    """Write what can be made of a folder's rows."""
    true = truths.found(out)
    table(out / "truths.csv", [{name: row[name] for name in TRUTH} for row in true.values()])
    if covered := coverage.cells(pool.rows_of(out / "coverage.jsonl"), true):
        table(out / "coverage.csv", list(map(asdict, covered)))
        (out / "coverage.md").write_text(coverage.markdown(covered))
        figures.coverage(covered, out / "coverage.svg")
    if timed := pool.rows_of(out / "timing.jsonl"):
        (out / "timing.md").write_text(timing.markdown(timed))
    if rows := pool.rows_of(out / "grid.jsonl", out / "gradient.jsonl"):
        table(out / "grid.csv", [flat(row) for row in rows])
        (out / "grid.md").write_text(markdown(rows, true))
        (out / "estimates.md").write_text(judged(rows))
        figures.learning(rows, true, out / "learning.svg")
        if picks := regret.picks(rows):
            table(out / "regret.csv", list(map(asdict, picks)))
            (out / "regret.md").write_text(regret.markdown(picks))
            figures.regret(picks, out / "regret.svg")


TRUTH = ("problem", "policy", "users", "return", "return_error", "length")


def table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows of the same columns."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: round(v, 4) if isinstance(v, float) else v for name, v in row.items()})


def flat(row: pool.Row) -> dict[str, Any]:
    """Return a grid's row in columns."""
    names = ("problem", "behaviour", "size", "seed", "learner", "episodes", "steps", "logged_return")
    found = {name: row[name] for name in (*names, "true_return", "true_error", "learning_s", "judging_s", "cpu_s")}
    for which in ("held_out", "whole"):
        found |= {f"{which}_{name}": row[which].get(name) for name in ("return", "low", "high")}
    return {**found, "refusal": row["whole"]["refusal"]}


def markdown(rows: Sequence[pool.Row], true: dict[tuple[str, str], pool.Row]) -> str:
    """Return, by problem, a table of what was learned."""
    lines = []
    for problem, title in TITLES.items():
        of = pool.of(rows, problem=problem)
        if not of:
            continue
        known = ", ".join(f"{name} {true[problem, name]['return']:.1f}" for name in ("random", "myopic", "half"))
        lines += [f"### {title}", "", f"References: {known}.", ""]
        learners = [name for name in LEARNERS if pool.of(of, learner=name)]
        lines += ["| log | steps | behaviour | " + " | ".join(learners) + " |"]
        lines += ["|---" * (3 + len(learners)) + "|"]
        for behaviour, words in BEHAVIOURS.items():
            for size in grid.SIZES:
                own = pool.of(of, behaviour=behaviour, size=size)
                if own:
                    cells = " | ".join(score(pool.of(own, learner=name)) for name in learners)
                    lines.append(f"| {words} | {size:,} | {true[problem, behaviour]['return']:.1f} | {cells} |")
        lines.append("")
    return "\n".join(lines) + "\n"


def score(own: Sequence[pool.Row]) -> str:
    """Return the mean true return over logs, its least, and the number of logs, in words."""
    if not own:
        return "-"
    returns = [row["true_return"] for row in own]
    mean = f"**{statistics.mean(returns):.1f}**"
    return f"{mean} (least {min(returns):.1f} of {len(own)})" if len(own) > 1 else mean


def judged(rows: Sequence[pool.Row]) -> str:
    """Return a table: how far estimates of what was learned were from the truth, on either part of the log."""
    lines = ["| problem | log | steps | learner | logs | held out: median error %, covered | whole log: the same |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for problem, title in TITLES.items():
        for behaviour, words in BEHAVIOURS.items():
            for size in grid.SIZES:
                for learner in LEARNERS:
                    own = pool.of(rows, problem=problem, behaviour=behaviour, size=size, learner=learner)
                    if len(own) > 1:
                        both = " | ".join(quality(own, which) for which in ("held_out", "whole"))
                        lines.append(f"| {title} | {words} | {size:,} | {learner} | {len(own)} | {both} |")
    return "\n".join(lines) + "\n"


def quality(rows: Sequence[pool.Row], which: str) -> str:
    """Return the median error of estimates, and how often intervals hold the truth, in words."""
    there = [row for row in rows if "return" in row[which]]
    if not there:
        return "none"
    error = np.median([row[which]["return"] / row["true_return"] - 1 for row in there])
    kept = [row for row in there if "low" in row[which] and row[which].get("refusal") is None]
    if not kept:
        return f"{100 * error:+.1f}, all refused"
    covered = np.mean([row[which]["low"] <= row["true_return"] <= row[which]["high"] for row in kept])
    refused = f", {1 - len(kept) / len(rows):.0%} refused" if len(kept) < len(rows) else ""
    return f"{100 * error:+.1f}, {covered:.2f}{refused}"
