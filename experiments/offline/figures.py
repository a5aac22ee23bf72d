"""The figures."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.offline import coverage as covering
from experiments.offline import pool
from experiments.offline.problems import BEHAVIOURS, PROBLEMS, TITLES
from experiments.offline.regret import Pick

LOGS = 500, 200_000  # steps
SHOWN = ("lspi", "lspi, no memory", "slateq", "bc", "linucb", "thompson")


def _subplots(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    mpl.rcParams |= {"svg.hashsalt": "offline", "svg.fonttype": "none"}  # the same rows draw the same file
    return plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)


def _save(fig: Any, path: Path) -> None:
    import matplotlib.pyplot as plt

    fig.savefig(path, metadata={"Date": None})
    plt.close(fig)


def learning(rows: Sequence[pool.Row], true: dict[tuple[str, str], pool.Row], path: Path) -> None:
    """Draw the true return of what was learned over the size of the log, a panel a problem and behaviour."""
    fig, axes = _subplots(len(PROBLEMS), len(BEHAVIOURS), (13, 11))
    for i, problem in enumerate(PROBLEMS):
        for j, (behaviour, words) in enumerate(BEHAVIOURS.items()):
            panel, of = axes[i, j], pool.of(rows, problem=problem, behaviour=behaviour)
            panel.set(xscale="log", xlim=LOGS)
            for number, learner in enumerate(SHOWN):
                own = pool.of(of, learner=learner)
                sizes = sorted({row["size"] for row in own})
                each = [[row["true_return"] for row in pool.of(own, size=size)] for size in sizes]
                means = [statistics.mean(returns) for returns in each]
                panel.plot(sizes, means, marker="o", markersize=3, color=f"C{number}", label=learner)
                panel.fill_between(sizes, list(map(min, each)), list(map(max, each)), color=f"C{number}", alpha=0.15)
            for name, style in ((behaviour, "-"), ("myopic", ":")):
                value = true[problem, name]["return"]
                panel.axhline(value, color="black", linewidth=0.8, linestyle=style)
            panel.set_title(words if i == 0 else "", fontsize=9)
        axes[i, 0].set_ylabel(f"{TITLES[problem]}\ntrue return")
    for panel in axes[-1]:
        panel.set_xlabel("logged steps")
    axes[0, 0].legend(fontsize=7)
    fig.suptitle("What is learned from a log (line: behaviour; dotted: myopic; bands: all logs)")
    _save(fig, path)


def coverage(cells: Sequence[covering.Cell], path: Path) -> None:
    """Draw each setting's coverage and error over the size of the log."""
    fig, axes = _subplots(2, len(BEHAVIOURS), (13, 6))
    sizes = list(covering.SIZES)
    for j, (behaviour, words) in enumerate(BEHAVIOURS.items()):
        top, bottom = axes[:, j]
        top.set(xscale="log", xlim=(sizes[0] / 2, sizes[-1] * 2), ylim=(0, 1.03))
        top.set_title(words, fontsize=9)
        bottom.set(xscale="log", yscale="log", xlabel="logged steps", xlim=top.get_xlim(), ylim=(0.05, 300))
        for number, problem in enumerate(PROBLEMS):
            own = [cell for cell in cells if (cell.behaviour, cell.problem) == (behaviour, problem)]
            kept = [cell for cell in own if cell.refused <= 1 - covering.ENOUGH]
            lost = [cell for cell in own if cell.refused > 1 - covering.ENOUGH]
            shift = 1.15 ** (number - 1.5)
            for panel, name in ((top, "covered"), (bottom, "rmse_all")):
                x = [cell.size * shift for cell in kept]
                y = [getattr(cell, name) * (100 if panel is bottom else 1) for cell in kept]
                panel.scatter(x, y, s=14, color=f"C{number}", label=TITLES[problem])
            errors = [100 * cell.rmse_all for cell in lost]
            bottom.scatter([cell.size * shift for cell in lost], errors, s=14, marker="x", color=f"C{number}")
        top.axhline(0.95, color="black", linewidth=0.8)
    axes[0, 0].set_ylabel("truth inside the 95 % interval,\nshare of logs")
    axes[1, 0].set_ylabel("error, % (crosses: refused)")
    axes[0, 0].legend(fontsize=7, loc="lower left")
    fig.suptitle("Fitted Q evaluation of fixed policies, a point a policy: logs drawn anew")
    _save(fig, path)


def regret(picks: Sequence[Pick], path: Path) -> None:
    """Draw the regret of picking by estimate over the size of the log, beside others."""
    fig, axes = _subplots(1, len(PROBLEMS), (13, 3.4))
    names = {
        "held_out": "held-out estimate",
        "whole": "estimate on the whole log",
        "answered": "the same, unless refused",
        "blind": "at random",
    }
    for panel, problem in zip(axes[0], PROBLEMS, strict=True):
        own = [pick for pick in picks if pick.problem == problem]
        sizes = sorted({pick.size for pick in own})
        panel.set(xscale="log", xlim=LOGS, xlabel="logged steps", title=TITLES[problem])
        for number, (name, label) in enumerate(names.items()):
            each = [[100 * getattr(pick, name) / pick.best for pick in own if pick.size == size] for size in sizes]
            panel.plot(sizes, [np.mean(values) for values in each], marker="o", color=f"C{number}", label=label)
    axes[0, 0].set_ylabel("regret, % of the best candidate")
    axes[0, 0].legend(fontsize=7)
    _save(fig, path)
