"""Running a plan, what is printed at its end, and the exit code that follows."""

from __future__ import annotations

import errno
import shlex
import sys
from pathlib import Path

from rich.console import Console

from recsys_cli.config import folders
from recsys_cli.config.errors import one_line
from recsys_cli.config.notices import warn
from recsys_cli.config.paths import show_path
from recsys_cli.config.schema import TrainConfig
from recsys_cli.files import read_jsonl
from recsys_cli.offline.support import narrowness
from recsys_cli.reporting.conclusion import Conclusion, conclude
from recsys_cli.reporting.estimate import note_took
from recsys_cli.reporting.results import POINTS, PointResult, spent
from recsys_cli.reporting.table import final_table, points_table
from recsys_cli.runs.display import PLAIN
from recsys_cli.runs.driver import driving
from recsys_cli.runs.folder import read_seed
from recsys_cli.runs.plan import Plan, spell_values
from recsys_cli.runs.signals import Lost
from recsys_cli.tracking.folder import JOURNAL
from recsys_cli.tracking.local_runs import CHECKPOINTS, pointed, seeds_of

INTERRUPTED = 130
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM)


def execute(config: TrainConfig, plan: Plan, run_dir: Path, command: list[str]) -> int:
    """Train, compare and evaluate a run's plan (see `driving`), print the results, return the exit code."""
    new = not seeds_of(run_dir)
    if config.data is not None and (narrow := narrowness(config.env.dataset)) is not None:
        warn(narrow)
    try:
        with driving(config, plan, run_dir, command) as driver:
            driver.train()
            found = conclude(driver)
    except KeyboardInterrupt:
        print(f"stopped\n{continue_command(config, plan, run_dir)}")
        return INTERRUPTED
    except Lost as error:
        print(f"recsys: error: {error}\n{continue_command(config, plan, run_dir)}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        print(f"stopped: {one_line(error)}\n{standing(run_dir)}\n{continue_command(config, plan, run_dir)}")
        return 1
    console = Console(highlight=False, width=160 if plan.searches and not Console().is_terminal else None)
    if plan.searches:
        _print_search(console, config, plan, found)
    else:
        _print_training(console, found)
    console.print(next_command(config, plan, found), **PLAIN)
    if new and not found.stopped and not found.failed:
        note_took(config, plan, run_dir)
    return 1 if found.failed else INTERRUPTED if found.stopped else 0


def standing(run_dir: Path) -> str:
    """Return what a run that its disk has stopped can continue from."""
    seeds = {folder.name: pointed(folder / CHECKPOINTS, "last") for folder in seeds_of(run_dir)}
    kept = [f"{name} at {last['steps']:,} steps" for name, last in seeds.items() if last]
    return f"in {show_path(run_dir)}: {', '.join(kept)}" if kept else f"in {show_path(run_dir)}: no checkpoint yet"


def _print_training(console: Console, found: Conclusion) -> None:
    for evaluations in found.evaluations.values():
        if evaluations:
            console.print(final_table(evaluations))
    for folder in found.states:
        if (worth := _worth(folder)) is not None:
            console.print(f"{folder.name}: {worth}", **PLAIN)
    for folder, state in found.states.items():
        console.print(f"run id {_run_id(folder)}  ({folder.name}, {state})", **PLAIN)


def _worth(folder: Path) -> str | None:
    """Return what a learner with standard errors says of its last values; None from others."""
    rows = read_jsonl(folder / JOURNAL)
    last = rows[-1]["metrics"] if rows else {}
    if "learner/value_error" not in last:
        return None
    value, error, item = (last[f"learner/{name}"] for name in ("value", "value_error", "item_error"))
    return f"a session's value as learned {value:.1f} ± {1.96 * error:.1f}, an item's ± {1.96 * item:.1f}"


def _run_id(folder: Path) -> str:
    """Return a seed's MLflow run id, or its local id if it has none."""
    about = read_seed(folder)
    return str(about.get("mlflow_run_id") or about["id"])


def _print_search(console: Console, config: TrainConfig, plan: Plan, found: Conclusion) -> None:
    """Print the points, the evaluation of the best, and which axes mattered."""
    console.print(points_table(plan.search, found.points))
    for problem, point in found.best.items():
        _print_best(console, found, problem, point)
    if found.failed:
        console.print(f"failed: {', '.join(found.failed)}", **PLAIN)
    console.print(f"all points: {show_path(found.run_dir / POINTS)}", **PLAIN)
    if figures := sorted(found.run_dir.glob("*.svg")):
        console.print(f"figures: {', '.join(show_path(path) for path in figures)}", **PLAIN)
    steps = spent(found.points)
    whole = len(found.points) * plan.search.seeds_per_point * config.steps
    if plan.search.compares and not found.stopped:
        console.print(f"steps: {steps:,}, {100 * steps / whole:.0f} % of all points' whole trainings", **PLAIN)


def _print_best(console: Console, found: Conclusion, problem: str, point: PointResult) -> None:
    of = f" of {problem}" if problem else ""
    console.print(f"\nbest{of}: {point.setting.name}  {spell_values(point.values)}", **PLAIN)
    if evaluations := found.evaluations.get(problem):
        console.print(final_table(evaluations))
    if (weights := found.importance[problem]) is not None:
        ranked = sorted(weights.shares.items(), key=lambda item: -item[1])
        shares = ", ".join(f"{axis} {100 * share:.0f} %" for axis, share in ranked)
        console.print(
            f"part of the variance explained by each alone ({weights.points} points at {weights.steps:,} "
            f"steps): {shares}",
            **PLAIN,
        )


def next_command(config: TrainConfig, plan: Plan, found: Conclusion) -> str:
    """Return the suggested next command."""
    if found.stopped or (found.failed and not plan.searches):
        return continue_command(config, plan, found.run_dir)
    if not plan.searches:
        # Not the best by playing, but the checkpoint that the table above is about.
        checkpoint = f"checkpoint={_run_id(next(iter(found.states)))}" + ("/last" if config.data is None else "")
        if config.data is not None and config.env.simulator is None:
            return f"next: recsys ope {checkpoint} data={shlex.quote(show_path(Path(config.data)))}{where(config)}"
        return f"next: recsys evaluate {checkpoint}{where(config)}"
    if not found.best:
        return f"no point has a score; what happened is in {show_path(found.run_dir)}"
    names = ["best"] if len(found.best) == 1 else [point.setting.name for point in found.best.values()]
    return "\n".join(f"next: recsys train from={found.run_dir.name}/{name} seeds=5{where(config)}" for name in names)


def continue_command(config: TrainConfig, plan: Plan, run_dir: Path) -> str:
    """Return the command that continues the run."""
    return f"continue: recsys {plan.root} resume={shlex.quote(run_dir.name)}{where(config)}"


def where(config: TrainConfig) -> str:
    """Return the options with which another command finds the run: its folder, and the user's own."""
    words = [] if config.output_dir == "runs" else [f"output_dir={config.output_dir}"]
    return "".join(f" {shlex.quote(word)}" for word in [*words, *folders.option_words(relative=True)])
