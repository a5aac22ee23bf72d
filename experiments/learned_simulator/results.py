"""Tables and figure of the learned simulators, from the rows of `run`."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

Rows = list[dict[str, str]]


def write(folder: Path) -> None:
    """Write `results.md` and `results.svg` from the CSV files."""
    files = (folder / f"{name}.csv" for name in ("policies", "training"))
    played, learned = (list(csv.DictReader(file.open())) if file.is_file() else [] for file in files)
    (folder / "results.md").write_text("\n".join([*orders(played), "", *shares(played, learned), ""]))
    figure(played, folder / "results.svg")


def by_log(rows: Rows, column: str) -> dict[tuple[str, int, str, int], dict[str, float]]:
    """Return the values of every log by policy or algorithm."""
    found: dict[tuple[str, int, str, int], dict[str, float]] = defaultdict(dict)
    for row in rows:
        key = (row["problem"], int(row["sessions"]), row["choice"], int(row["seed"]))
        found[key][row[column]] = float(row["value"])
    return found


def orders(played: Rows) -> list[str]:
    """Return the table of policies: true return, and returns in the learned simulators."""
    values = by_log(played, "policy")
    lines = ["## The order of policies", ""]
    for problem in dict.fromkeys(key[0] for key in values):
        truth = values[problem, 0, "true", 0]
        names = sorted(truth, key=truth.__getitem__)
        lines += [f"**{problem}**: mean over logs; true order kept in so many of the logs.", ""]
        lines += ["| log | choice | " + " | ".join(names) + " | order | return of the best |"]
        lines += ["|" + " --- |" * (len(names) + 4)]
        cells = [f"{truth[name]:.1f}" for name in names]
        lines += [f"| true simulator | | {' | '.join(cells)} | | |"]
        for sessions, choice in dict.fromkeys((key[1], key[2]) for key in values if key[0] == problem and key[1]):
            logs = [found for key, found in values.items() if key[:3] == (problem, sessions, choice)]
            logs = [found for found in logs if len(found) == len(truth)]
            if not logs:
                continue
            kept = sum(sorted(found, key=found.__getitem__) == names for found in logs)
            cells = [f"{np.mean([found[name] for found in logs]):.1f}" for name in names]
            off = np.mean([found[names[-1]] for found in logs]) / truth[names[-1]] - 1
            lines += [f"| {sessions} sessions | {choice} | {' | '.join(cells)} | {kept}/{len(logs)} | {off:+.1%} |"]
        lines += [""]
    return lines[:-1]


def shares(played: Rows, learned: Rows) -> list[str]:
    """Return the table of what was learned in learned simulators, played in the true one."""
    values, truths = by_log(learned, "algo"), by_log(played, "policy")
    lines = ["## Trained in it, played in the true simulator", ""]
    lines += [
        "| problem | log | choice | algorithm | return | trained in the true one | share | of the way from random |"
    ]
    lines += ["|" + " --- |" * 8]
    groups = dict.fromkeys((key[:3], algo) for key, found in values.items() if key[1] for algo in found)
    for (problem, sessions, choice), algo in groups:
        own = [f[algo] for key, f in values.items() if key[:3] == (problem, sessions, choice) and algo in f]
        true = [f[algo] for key, f in values.items() if key[:3] == (problem, 0, "true") and algo in f]
        random = truths[problem, 0, "true", 0]["random"]
        ours, theirs = float(np.mean(own)), float(np.mean(true))
        spread = f"{ours:.1f} ({min(own):.1f} to {max(own):.1f})"
        way = (ours - random) / (theirs - random)
        row = [problem, f"{sessions} sessions", choice, algo, spread, f"{theirs:.1f}", f"{ours / theirs:.1%}"]
        lines += [f"| {' | '.join([*row, f'{way:.0%}'])} |"]
    return lines


def figure(played: Rows, path: Path) -> None:
    """Draw the return in the learned over that in the true simulator, one mark a policy and log."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "recsys"
    import matplotlib.pyplot as plt

    values = by_log(played, "policy")
    problems = list(dict.fromkeys(key[0] for key in values))
    drawing, plots = plt.subplots(
        1, len(problems), figsize=(4 * len(problems), 3.8), squeeze=False, layout="constrained"
    )
    for plot, problem in zip(plots[0], problems, strict=True):
        _scatter(plot, problem, values)
    drawing.savefig(path)
    plt.close(drawing)


def _scatter(plot: Any, problem: str, values: dict[tuple[str, int, str, int], dict[str, float]]) -> None:
    truth = values[problem, 0, "true", 0]
    sizes = sorted({key[1] for key in values if key[0] == problem and key[1]})
    for i, sessions in enumerate(sizes):
        for j, choice in enumerate(dict.fromkeys(key[2] for key in values if key[:2] == (problem, sessions))):
            logs = [found for key, found in values.items() if key[:3] == (problem, sessions, choice)]
            points = [(truth[name], value) for found in logs for name, value in found.items()]
            label = f"{sessions} sessions, choice {choice}"
            plot.scatter(*zip(*points, strict=True), s=18, label=label, color=f"C{i}", marker="ox"[j % 2])
    ends = [min(truth.values()), max(truth.values())]
    plot.plot(ends, ends, color="0.6", lw=0.8)
    for name, value in truth.items():
        plot.annotate(name, (value, value), fontsize=6, rotation=-35, xytext=(3, -6), textcoords="offset points")
    plot.set(title=problem, xlabel="return in the true simulator", ylabel="in the learned one")
    if sizes:
        plot.legend(fontsize=6)
