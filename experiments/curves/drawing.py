"""The tables and the figure of the curves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from recsys_cli.evaluation.statistics import mean_interval

Row = dict[str, Any]

COLOURS = {"lspi": "#2a78d6", "slateq, memory": "#e07b39", "slateq, no memory": "#7a7a7a"}


def way(score: float, reference: Row) -> float:
    """Return how far a return is from random (0) to the oracle (1)."""
    return float((score - reference["random"]) / (reference["oracle"] - reference["random"]))


def tables(rows: Sequence[Row], references: Sequence[Row], sizes: Iterable[int]) -> str:
    """Return a table of returns, ways and CPU seconds for every problem as markdown; intervals are over seeds."""
    parts = []
    for reference in references:
        own = [row for row in rows if row["problem"] == reference["problem"]]
        names = [name for name in COLOURS if any(row["learner"] == name for row in own)]
        lines = ", ".join(f"{name} {reference[name]:.1f}" for name in ("random", "myopic", "oracle"))
        parts.append(f"## {reference['problem']}\n\n{lines}\n")
        parts.append(f"| env steps | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
        for size in sizes:
            cells = [
                cell([row for row in own if row["learner"] == n and row["size"] == size], reference) for n in names
            ]
            if any(cells):
                parts.append(f"| {size:,} | {' | '.join(cells)} |")
        parts.append("")
    return "\n".join(parts)


def cell(rows: Sequence[Row], reference: Row) -> str:
    """Return mean return, way, number of seeds and CPU seconds; nothing without rows."""
    if not rows:
        return ""
    returns = [row["return"] for row in rows]
    found = mean_interval(returns)
    spread = f" ± {found.half_width:.1f}" if len(rows) > 1 else ""
    seconds = sum(row["cpu_s"] for row in rows) / len(rows)
    seeds = f"{len(rows)} seed{'s' * (len(rows) > 1)}"
    return f"{found.mean:.1f}{spread}, {100 * way(found.mean, reference):.0f} %, {seeds}, {seconds:.1f} s"


def figure(rows: Sequence[Row], references: Sequence[Row], problems: Sequence[str], path: Path) -> None:
    """Draw a panel a problem: a dot a training, a line through the means, and the references."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "curves"  # the same rows draw the same file
    import matplotlib.pyplot as plt

    shown = [each for each in references if each["problem"] in problems]
    shown.sort(key=lambda each: problems.index(each["problem"]))
    fig, panels = plt.subplots(1, len(shown), figsize=(4.6 * len(shown), 4), layout="constrained", squeeze=False)
    for axes, reference in zip(panels[0], shown, strict=True):
        _panel(axes, [row for row in rows if row["problem"] == reference["problem"]], reference)
    handles, labels = panels[0][0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    fig.savefig(path, metadata={"Date": None})
    plt.close(fig)


def _panel(axes: Any, rows: Sequence[Row], reference: Row) -> None:
    for name, style in (("oracle", "-"), ("myopic", "--"), ("random", ":")):
        axes.axhline(reference[name], color="black", linestyle=style, linewidth=0.8, label=name)
    for learner, colour in COLOURS.items():
        own = [row for row in rows if row["learner"] == learner]
        if not own:
            continue
        axes.plot([row["size"] for row in own], [row["return"] for row in own], ".", color=colour, alpha=0.4)
        sizes = sorted({row["size"] for row in own})
        means = [mean_interval([row["return"] for row in own if row["size"] == size]).mean for size in sizes]
        axes.plot(sizes, means, "-", color=colour, label=learner)
    axes.set(xscale="log", xlabel="env steps", title=f"{reference['problem']} (candidates/slots)")
    axes.set_ylabel("return, greedy, fresh users")
    axes.spines[["top", "right"]].set_visible(False)
