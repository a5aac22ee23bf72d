"""Scores and points as tables on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from recsys_cli.config.search import SearchConfig
from recsys_cli.evaluation.checkpoint import Evaluation
from recsys_cli.evaluation.compare import Score
from recsys_cli.evaluation.statistics import mean_interval
from recsys_cli.reporting.results import PointResult
from recsys_cli.runs.display import spell_score

ROWS = 15
_ANY_WIDTH = 10_000

COLUMNS = {
    "clicks_per_step": ("clicks/step", "{:.3f}"),
    "watch_time": ("watched", "{:.1f}"),
    "quality_per_click": ("quality", "{:.3f}"),
    "episode_length": ("steps", "{:.1f}"),
}


class Fitted:
    """A table that cuts nothing: on a narrow terminal its columns move closer, or its rows become lists."""

    def __init__(self, title: str) -> None:
        """Begin without columns."""
        self.table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        self.add_row = self.table.add_row

    def add_column(self, heading: str, **how: Any) -> None:
        """Add a column."""
        self.table.add_column(heading, no_wrap=True, **how)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table, or its rows one below the other."""
        for padding in ((0, 1), (0, 1, 0, 0)):
            self.table.padding = padding
            if console.measure(self.table, options=options.update(max_width=_ANY_WIDTH)).maximum <= options.max_width:
                yield self.table
                return
        yield Text(str(self.table.title), style="italic")
        headings = [str(column.header) for column in self.table.columns]
        for row in zip(*(column.cells for column in self.table.columns), strict=True):
            yield Text(str(row[0]))
            for heading, cell in zip(headings[1:], row[1:], strict=True):
                yield Text(f"  {heading}: {cell}")


def scores_table(scores: Sequence[Score], title: str, left_out: str = "") -> Fitted:
    """Return a table of the scores, one row per policy and group of users, with the columns that the problem has."""
    table = Fitted("\n".join(filter(None, (title, left_out))))
    table.add_column("policy")
    table.add_column("return ± 95 %", justify="right")
    shown = [name for name in COLUMNS if any(name in score.means for score in scores)]
    for name in shown:
        table.add_column(COLUMNS[name][0], justify="right")
    for score in scores:
        for name, row in ((score.policy, score), *((f"  {group}", own) for group, own in score.groups.items())):
            means = (COLUMNS[each][1].format(row.means[each]) if each in row.means else "" for each in shown)
            table.add_row(name, str(row.returns), *means)
    return table


def final_table(evaluations: Sequence[Evaluation]) -> Fitted:
    """Return the scores; for several seeds the mean of their returns, with the interval over seeds."""
    scores, users = evaluations[0].scores, evaluations[0].users
    title, left_out = f"{users:,} fresh users, greedy", evaluations[0].left_out
    if len(evaluations) > 1:
        joint = _joint([evaluation.scores[0] for evaluation in evaluations])
        scores = [joint, *scores[1:]]
        title += f"; the interval of {joint.policy} is over seeds, the others' over users"
    return scores_table(scores, title, left_out)


def _joint(own: Sequence[Score]) -> Score:
    """Return the mean of several seeds' scores, with the interval over seeds."""
    means = {name: sum(score.means[name] for score in own) / len(own) for name in own[0].means}
    over_seeds = mean_interval([score.returns.mean for score in own])
    groups = {name: _joint([score.groups[name] for score in own]) for name in own[0].groups}
    return Score(f"{own[0].policy}, {len(own)} seeds", over_seeds, means, groups=groups)


def points_table(search: SearchConfig, points: Sequence[PointResult]) -> Fitted:
    """Return the points, the best first."""
    how = "held-out episodes" if search.metric.startswith("ope/") else "greedy while training"
    title = f"{len(points)} points by {search.metric} ({search.mode}, {how})"
    if len(points) > ROWS:
        title += f"; the first {ROWS}"
    table = Fitted(title)
    axes = list(dict.fromkeys(key for point in points for key in point.values))
    for heading in ("point", *axes):
        table.add_column(heading)
    for heading in (search.metric, "steps"):
        table.add_column(heading, justify="right")
    table.add_column("state")
    for point in points[:ROWS]:
        score = spell_score(point.score)
        if len(point.seeds) > 1:
            score += f" ({', '.join(spell_score(seed.score) for seed in point.seeds)})"
        values = [point.values.get(axis, "") for axis in axes]
        table.add_row(point.setting.name, *values, score, f"{point.steps:,}", point.state)
    return table
