"""What `recsys sweep` prints before anything runs: its points, its axes, and how long it may take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from recsys_cli.config.paths import show_path
from recsys_cli.config.schema import SweepConfig
from recsys_cli.config.search import RandomSearch
from recsys_cli.reporting.estimate import estimate
from recsys_cli.runs.display import PLAIN
from recsys_cli.runs.plan import Point, spell_values
from recsys_cli.search.axes import Axis, Interval
from recsys_cli.search.points import Space


def announce_search(config: SweepConfig, space: Space, points: Sequence[Point], run_dir: Path | None) -> None:
    """Print how many points there will be, how long they may take, and where they are."""
    if config.progress == "off" and not config.dry_run:
        return
    console = Console(highlight=False)
    search, seeds = config.search, config.search.seeds_per_point
    number = search.trials if isinstance(search, RandomSearch) else len(points)
    trials = f"{number} points" + (f" x {seeds} seeds" if seeds > 1 else "")
    total = number * seeds * config.steps
    console.print(f"search={search.name}: {trials}, {config.steps:,} steps each, {total:,} at most", **PLAIN)
    for branch in space.branches:
        axes = [f"{axis.key} in {_spell_axis(axis)}" for axis in branch.axes]
        if axes:
            picked = spell_values(branch.picked) + (": " if branch.picked else "")
            console.print(f"  {picked}{', '.join(axes)}", **PLAIN)
    console.print(estimate(config, number), **PLAIN)
    if config.dry_run:
        for point in points:
            console.print(f"{point.name}  {spell_values(point.values)}", **PLAIN)
        if search.adaptive:
            console.print(f"search={search.name} chooses its points as scores come in", **PLAIN)
        console.print("dry run: nothing was started", **PLAIN)
    elif run_dir is not None:
        console.print(f"folder {show_path(run_dir)}", **PLAIN)


def _spell_axis(axis: Axis) -> str:
    if isinstance(axis, Interval):
        kind = " ".join(["log"] * axis.log + ["integer"] * axis.integer)
        return f"[{axis.at(0.0)}, {axis.at(1.0)}]" + (f" ({kind})" if kind else "")
    return "{" + ", ".join(axis.values) + "}"
