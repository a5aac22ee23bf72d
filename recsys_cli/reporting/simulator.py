"""What a learned simulator consists of and how it compares with its log: tables and a figure."""

from __future__ import annotations

import math
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from recsys_cli.files import replacing
from recsys_cli.offline.simulator.check import Checked
from recsys_cli.offline.simulator.estimation import CONSTANT
from recsys_cli.offline.simulator.fit import Fitted
from recsys_cli.reporting.table import Fitted as FittedTable

COLUMNS = 3
BINS = 30


def forms_table(fitted: Fitted) -> FittedTable:
    """Return the form that each law took, with the log-likelihood of a held-out row, beside that of the simplest."""
    table = FittedTable(
        f"laws, chosen by {fitted.test.sessions:,} held-out sessions ({fitted.train.sessions:,} fitted)"
    )
    table.add_column("law")
    table.add_column("form")
    for heading in ("log-likelihood", "simplest"):
        table.add_column(heading, justify="right")
    for law, group in groupby(fitted.forms, key=lambda form: form.law):
        tried = list(group)
        taken = [form for form in tried if form.chosen]
        name = " + ".join(form.name for form in taken if form.name != CONSTANT or len(taken) == 1)
        table.add_row(law, name, _number(taken[-1].likelihood), _number(tried[0].likelihood))
    return table


def _number(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else ""


def checks_table(checked: Checked) -> FittedTable:
    """Return the statistics of held-out and simulated sessions."""
    table = FittedTable(
        f"{checked.sessions:,} held-out sessions beside {checked.simulated:,} simulated, under {checked.policy}"
    )
    table.add_column("statistic")
    for heading in ("logged", "simulated", "z", "p"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for check in checked.checks:
        p = "" if check.p is None else f"{check.p:.2g}"
        numbers = (f"{check.logged:.4g}", f"{check.simulated:.4g}", f"{check.z:+.1f}", p)
        table.add_row(check.name, *numbers, "" if check.equal else "differs")
    return table


def draw(path: Path, fitted: Fitted, checked: Checked) -> None:
    """Write a figure: the distributions of the statistics of held-out and of simulated sessions."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "recsys"  # the same sessions, the same file
    import matplotlib.pyplot as plt

    shown = [check.name for check in checked.checks if checked.logged[check.name].ndim == 1]
    rows = math.ceil(len(shown) / COLUMNS)
    figure, plots = plt.subplots(
        rows, COLUMNS, figsize=(3.4 * COLUMNS, 2.2 * rows), squeeze=False, layout="constrained"
    )
    for plot, name in zip(plots.flat, shown, strict=False):
        _histogram(plot, name, checked.logged[name], checked.played[name])
    for plot in plots.flat[len(shown) :]:
        plot.set_visible(False)
    plots.flat[0].legend(fontsize=7)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="svg")
    plt.close(figure)


def _histogram(plot: Any, name: str, logged: np.ndarray, played: np.ndarray) -> None:
    both = [values[np.isfinite(values)] for values in (logged, played)]
    edges = np.histogram_bin_edges(np.concatenate(both), BINS)
    for values, label, how in zip(both, ("logged", "simulated"), ("stepfilled", "step"), strict=True):
        alpha = 0.35 if how == "stepfilled" else 1.0
        plot.hist(
            values, edges, density=True, histtype=how, label=label, alpha=alpha, color="C0" if alpha < 1 else "C1"
        )
    plot.set_title(name, fontsize=8)
    plot.tick_params(labelsize=7)
    plot.set_yticks([])
