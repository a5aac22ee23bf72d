"""Scores as a table on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from recsys_cli.evaluation.compare import Score

COLUMNS = {
    "clicks_per_step": ("clicks/step", "{:.3f}"),
    "watch_time": ("watched", "{:.1f}"),
    "quality_per_click": ("quality", "{:.3f}"),
    "episode_length": ("steps", "{:.1f}"),
}


def scores_table(scores: Sequence[Score], title: str) -> Table:
    """Return a table of the scores, one row a policy, with the columns that the problem has."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("policy")
    table.add_column("return ± 95 %", justify="right")
    shown = [name for name in COLUMNS if any(name in score.means for score in scores)]
    for name in shown:
        table.add_column(COLUMNS[name][0], justify="right")
    for score in scores:
        means = (COLUMNS[name][1].format(score.means[name]) if name in score.means else "" for name in shown)
        table.add_row(score.policy, str(score.returns), *means)
    return table
