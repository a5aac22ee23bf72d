"""What `recsys sweep` prints before anything runs: its points, its axes, and how long it may take."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from recsys_cli.config.paths import show_path
from recsys_cli.config.schema import SweepConfig
from recsys_cli.config.search import RandomSearch
from recsys_cli.runs.display import PLAIN, spell_seconds
from recsys_cli.runs.plan import Point, spell_values
from recsys_cli.search.axes import Axis, Interval
from recsys_cli.search.points import Space
from recsys_cli.tracking.files import read_json, read_jsonl
from recsys_cli.tracking.folder import JOURNAL
from recsys_cli.tracking.local_runs import RUN, runs_in, seeds_of


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
    console.print(_estimate(config, total), **PLAIN)
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


def _estimate(config: SweepConfig, steps: int) -> str:
    """Return a time estimate from the speed of earlier runs of the same algorithm and problem."""
    speeds = [speed for run in runs_in(Path(config.output_dir))[:30] for speed in _speeds(run, config)]
    if not speeds:
        return (
            f"no time estimate: no run of algo={config.algo.name} on env={config.env.name} in {config.output_dir} "
            "to learn the speed from; the time left is shown once trials report"
        )
    resources, seeds = config.resources, config.search.seeds_per_trial
    if not resources.ray_address:
        at_once = resources.local_cpus(seeds) // resources.cpus_per_trial(seeds)
    elif resources.concurrent_trials:
        at_once = resources.concurrent_trials
    else:
        return "no time estimate on a cluster; the time left is shown once trials report"
    seconds = steps / statistics.median(speeds) / at_once
    return f"about {spell_seconds(seconds)} at most, at the speed of earlier runs here, {at_once} at a time"


def _speeds(run: Path, config: SweepConfig) -> list[float]:
    """Return the steps per second of a run's seeds, evaluations and checkpoints included."""
    about = read_json(run / RUN, default={})
    if (about.get("env"), about.get("algo")) != (config.env.name, config.algo.name):
        return []
    found = []
    for seed in seeds_of(run)[:10]:
        rows = read_jsonl(seed / JOURNAL)
        steps, seconds = (rows[-1][key] - rows[0][key] if rows else 0 for key in ("steps", "time"))
        found += [steps / seconds] if steps > 0 and seconds > 0 else []
    return found
