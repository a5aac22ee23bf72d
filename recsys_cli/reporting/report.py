"""What `recsys sweep` prints before and after."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from recsys_cli.config.paths import show_path
from recsys_cli.config.schema import SweepConfig
from recsys_cli.config.search import RandomSearch
from recsys_cli.reporting.results import POINTS, PointResult, spent
from recsys_cli.runs.callbacks import FAILED
from recsys_cli.runs.report import PLAIN, final_table, where
from recsys_cli.search.axes import Axis, Interval
from recsys_cli.search.points import Point, Space, told
from recsys_cli.search.progress import spell, spell_score
from recsys_cli.search.run import SweepResult
from recsys_cli.tracking.files import read_json, read_jsonl
from recsys_cli.tracking.folder import JOURNAL
from recsys_cli.tracking.local_runs import RUN, runs_in, trials_of

ROWS = 15


def announce(config: SweepConfig, space: Space, points: Sequence[Point], sweep_dir: Path | None) -> None:
    """Say how many trials there will be, how long they may take, and where they lie."""
    if config.progress == "off" and not config.dry_run:
        return
    console = Console(highlight=False)
    search, seeds = config.search, config.search.seeds_per_point
    number = search.trials if isinstance(search, RandomSearch) else len(points)
    trials = f"{number} points" + (f" x {seeds} seeds" if seeds > 1 else "")
    total = number * seeds * config.env_steps
    console.print(f"search={search.name}: {trials}, {config.env_steps:,} env steps each, {total:,} at most", **PLAIN)
    for branch in space.branches:
        axes = [f"{axis.key} in {_spell_axis(axis)}" for axis in branch.axes]
        if axes:
            console.print("  " + told(branch.picked) + (": " if branch.picked else "") + ", ".join(axes), **PLAIN)
    console.print(_estimate(config, total), **PLAIN)
    if config.dry_run:
        for point in points:
            console.print(f"{point.name}  {told(point.values)}", **PLAIN)
        if search.adaptive:
            console.print(f"search={search.name} chooses its points as scores come in", **PLAIN)
        console.print("dry run: nothing was started", **PLAIN)
    elif sweep_dir is not None:
        console.print(f"folder {show_path(sweep_dir)}", **PLAIN)


def _spell_axis(axis: Axis) -> str:
    if isinstance(axis, Interval):
        kind = " ".join(["log"] * axis.log + ["integer"] * axis.integer)
        return f"[{axis.at(0.0)}, {axis.at(1.0)}]" + (f" ({kind})" if kind else "")
    return "{" + ", ".join(axis.values) + "}"


def _estimate(config: SweepConfig, env_steps: int) -> str:
    """Return an estimate of time from the speed of earlier runs of the same algorithm and problem."""
    speeds = [speed for run in runs_in(Path(config.output_dir))[:30] for speed in _speeds(run, config)]
    if not speeds:
        return (
            f"no estimate of time: no run of algo={config.algo.name} on env={config.env.name} in {config.output_dir} "
            "to learn the speed from; the time left is shown once trials report"
        )
    resources, members = config.resources, config.search.seeds_per_trial
    if not resources.ray_address:
        at_once = resources.local_cpus(members) // resources.cpus_per_trial(members)
    elif resources.concurrent_trials:
        at_once = resources.concurrent_trials
    else:
        return "no estimate of time on a cluster; the time left is shown once trials report"
    seconds = env_steps / statistics.median(speeds) / at_once
    return f"about {spell(seconds)} at most, at the speed of earlier runs here, {at_once} at a time"


def _speeds(run: Path, config: SweepConfig) -> list[float]:
    """Return the env steps per second of a run's trials, evaluations and checkpoints included."""
    about = read_json(run / RUN, default={})
    if (about.get("env"), about.get("algo")) != (config.env.name, config.algo.name):
        return []
    found = []
    for trial in trials_of(run)[:10]:
        rows = read_jsonl(trial / JOURNAL)
        steps, seconds = (rows[-1][key] - rows[0][key] if rows else 0 for key in ("env_steps", "time"))
        found += [steps / seconds] if steps > 0 and seconds > 0 else []
    return found


def conclude(config: SweepConfig, result: SweepResult) -> int:
    """Print the points, the best of them on fresh users, what mattered, and the next command; return the exit code."""
    console = Console(highlight=False, width=None if Console().is_terminal else 160)
    console.print(points_table(config, result.points))
    for problem, point in result.best.items():
        _tell_best(console, config, result, problem, point)
    failed = [point for point in result.points if point.state == FAILED]
    if failed:
        console.print(f"failed: {', '.join(point.planned.name for point in failed)}", **PLAIN)
    console.print(f"all points: {show_path(result.sweep_dir / POINTS)}", **PLAIN)
    figures = sorted(result.sweep_dir.glob("*.svg"))
    if figures:
        console.print(f"figures: {', '.join(show_path(path) for path in figures)}", **PLAIN)
    steps = spent(result.points)
    whole = len(result.points) * config.search.seeds_per_point * config.env_steps
    if config.search.compares and not result.stopped:
        console.print(f"env steps: {steps:,}, {100 * steps / whole:.0f} % of all points' whole trainings", **PLAIN)
    console.print(next_command(config, result), **PLAIN)
    return 1 if failed else 130 if result.stopped else 0


def points_table(config: SweepConfig, points: Sequence[PointResult]) -> Table:
    """Return the points, the best first."""
    search = config.search
    shown = list(points)[:ROWS]
    title = f"{len(points)} points by {search.metric} ({search.mode}, greedy while training)"
    if len(points) > ROWS:
        title += f"; the first {ROWS}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    axes = list(dict.fromkeys(key for point in points for key in point.values))
    for heading in ("point", *axes):
        table.add_column(heading)
    for heading in (search.metric, "env steps"):
        table.add_column(heading, justify="right")
    table.add_column("state")
    for point in shown:
        score = spell_score(point.score)
        if len(point.seeds) > 1:
            score += f" ({', '.join(spell_score(seed.score) for seed in point.seeds)})"
        table.add_row(
            point.planned.name,
            *(point.values.get(axis, "") for axis in axes),
            score,
            f"{point.env_steps:,}",
            point.state,
        )
    return table


def _tell_best(console: Console, config: SweepConfig, result: SweepResult, problem: str, point: PointResult) -> None:
    of = f" of {problem}" if problem else ""
    console.print(f"\nbest{of}: {point.planned.name}  {told(point.values)}", **PLAIN)
    if result.evaluations.get(problem):
        console.print(final_table(result.evaluations[problem], config))
    found = result.importance[problem]
    if found is not None:
        ranked = sorted(found.shares.items(), key=lambda item: -item[1])
        shares = ", ".join(f"{axis} {100 * share:.0f} %" for axis, share in ranked)
        console.print(
            f"part of the variance explained by each alone ({found.points} points at {found.env_steps:,} env "
            f"steps): {shares}",
            **PLAIN,
        )


def next_command(config: SweepConfig, result: SweepResult) -> str:
    """Return the command to type next."""
    if not result.best and not result.stopped:
        return f"no point has a score; what happened is in {show_path(result.sweep_dir)}"
    if result.stopped:
        return continue_command(config, result.sweep_dir)
    commands = []
    for problem in result.best:
        name = f"{result.sweep_dir.name}/best" if len(result.best) == 1 else _named(result, problem)
        commands.append(f"next: recsys train from={name} seeds=5{where(config)}")
    return "\n".join(commands)


def _named(result: SweepResult, problem: str) -> str:
    return f"{result.sweep_dir.name}/{result.best[problem].planned.name}"


def continue_command(config: SweepConfig, sweep_dir: Path) -> str:
    """Return the command that continues the sweep."""
    return f"continue: recsys sweep resume={shlex.quote(sweep_dir.name)}{where(config)}"
