"""What `recsys train` prints before and after the training."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from recsys_cli.config import folders
from recsys_cli.config.paths import show_path
from recsys_cli.config.schema import TrainConfig
from recsys_cli.evaluation.checkpoint import Evaluation
from recsys_cli.evaluation.compare import Score
from recsys_cli.evaluation.statistics import mean_interval
from recsys_cli.reporting.table import scores_table
from recsys_cli.runs.callbacks import FAILED
from recsys_cli.runs.driver import TrainResult, trial_ids
from recsys_cli.runs.session import LOGS

PLAIN: dict[str, Any] = {"soft_wrap": True, "markup": False}


def announce(config: TrainConfig, run_dir: Path) -> None:
    """Say what is about to run, and where."""
    if config.progress == "off":
        return
    env, seeds = config.env, config.seeds
    runs = "" if seeds == 1 else f", {seeds} seeds"
    Console(highlight=False).print(
        f"training {config.algo.name} on {env.name} (C={env.num_candidates}, k={env.slate_size}): "
        f"{config.env_steps:,} env steps{runs}\nfolder {show_path(run_dir)}",
        **PLAIN,
    )


def conclude(config: TrainConfig, result: TrainResult) -> int:
    """Print the results, the run ids and the next command; return the exit code."""
    console = Console(highlight=False)
    evaluations = list(result.evaluations.values())
    if evaluations:
        console.print(final_table(evaluations, config))
    for folder, state in result.states.items():
        local, remote = trial_ids(folder)
        if state == FAILED:
            logs = show_path(result.run_dir / LOGS)
            console.print(f"{folder.name} failed: {result.errors.get(folder)}; logs in {logs}", **PLAIN)
        console.print(f"run id {remote or local}  ({folder.name}, {state})", **PLAIN)
    console.print(next_command(config, result), **PLAIN)
    if FAILED in result.states.values():
        return 1
    return 130 if result.stopped else 0


def final_table(evaluations: list[Evaluation], config: TrainConfig) -> Table:
    """Return the scores; of several seeds the mean of their returns, with the interval over seeds."""
    scores, users = evaluations[0].scores, config.evaluation.users
    title = f"{users:,} fresh users, greedy"
    if len(evaluations) > 1:
        own = [evaluation.scores[0] for evaluation in evaluations]
        means = {name: sum(score.means[name] for score in own) / len(own) for name in own[0].means}
        over_seeds = mean_interval([score.returns.mean for score in own])
        joint = Score(f"{own[0].policy}, {len(own)} seeds", over_seeds, means)
        scores = [joint, *scores[1:]]
        title += f"; the interval of {joint.policy} is over seeds, the others' over users"
    return scores_table(scores, title)


def next_command(config: TrainConfig, result: TrainResult) -> str:
    """Return the command to type next."""
    folder = next(iter(result.states))
    if result.stopped or FAILED in result.states.values():
        return continue_command(config, result.run_dir)
    local, remote = trial_ids(folder)
    # The last checkpoint, not the best: the one that the table above is about.
    return f"next: recsys evaluate checkpoint={remote or local}/last{where(config)}"


def continue_command(config: TrainConfig, run_dir: Path) -> str:
    """Return the command that continues the run."""
    return f"continue: recsys train resume={run_dir.name}{where(config)}"


def where(config: TrainConfig) -> str:
    """Return the words by which another command finds the run: its folder, and the user's own."""
    words = [] if config.output_dir == "runs" else [f"output_dir={config.output_dir}"]
    return "".join(f" {shlex.quote(word)}" for word in [*words, *folders.option_words(relative=True)])
