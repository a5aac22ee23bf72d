"""What a training shows while it runs: a live table on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import Any, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table


@dataclass
class TrialProgress:
    """The latest of one trial."""

    env_steps: int = 0
    first_steps: int = 0
    speed: float = 0.0
    train_return: float | None = None
    eval_return: float | None = None
    state: str = "starting"
    began: float = field(default_factory=time.monotonic)

    def update(self, result: dict[str, Any]) -> None:
        """Take in a report."""
        metrics = result["metrics"]
        if self.state != "training":
            self.state, self.began, self.first_steps = "training", time.monotonic(), result["env_steps"]
        self.env_steps = result["env_steps"]
        self.speed = metrics.get("time/env_steps_per_s", self.speed)
        self.train_return = metrics.get("train/return", self.train_return)
        self.eval_return = metrics.get("eval/return", self.eval_return)

    def seconds_left(self, target: int) -> float | None:
        """Return the seconds left at the pace so far (evaluations and checkpoints included)."""
        done = self.env_steps - self.first_steps
        elapsed = time.monotonic() - self.began
        return (target - self.env_steps) * elapsed / done if done > 0 and elapsed > 0 else None


class Terminal:
    """A display that lives while the block lasts, on a terminal; elsewhere lines are printed.

    Args:
        mode: `auto`, `rich`, `plain` or `off`.
    """

    def __init__(self, mode: str) -> None:
        """Look where it writes."""
        self.console = Console(highlight=False)
        self.mode = ("rich" if self.console.is_terminal else "plain") if mode == "auto" else mode
        self.live: Live | None = None

    def __enter__(self) -> Self:
        """Start the display."""
        if self.mode == "rich":
            self.live = Live(self.renderable(), console=self.console, refresh_per_second=4, transient=True)
            self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        """End the display."""
        if self.live is not None:
            self.live.stop()
            self.live = None

    def say(self, line: str) -> None:
        """Print a line that stays."""
        if self.mode == "off":
            print(line, file=sys.stderr)
        else:
            self.console.print(line, soft_wrap=True, markup=False)

    def refresh(self) -> None:
        """Draw again."""
        if self.live is not None:
            self.live.update(self.renderable())

    def renderable(self) -> RenderableType:
        """Return what is shown live."""
        raise NotImplementedError


class Progress(Terminal):
    """Shows the trials of one command.

    Args:
        mode: `auto`, `rich`, `plain` or `off`.
        target: env steps of each trial.
        names: of the trials.
    """

    def __init__(self, mode: str, target: int, names: list[str]) -> None:
        """Prepare; `with` starts and ends the display."""
        super().__init__(mode)
        self.target = target
        self.trials = {name: TrialProgress() for name in names}
        self.references: dict[str, float] = {}

    def set_references(self, returns: dict[str, float]) -> None:
        """Show the baselines' returns beside the trials'."""
        self.references = returns
        if self.mode == "plain":
            self.say("baselines: " + ", ".join(f"{name} {value:.1f}" for name, value in returns.items()))
        self.refresh()

    def report(self, name: str, result: dict[str, Any]) -> None:
        """Show a trial's report; plain mode prints a line where it was evaluated, and at the end."""
        trial = self.trials[name]
        trial.update(result)
        if self.mode == "plain" and ("eval/return" in result["metrics"] or result["finished"]):
            self.say(self._line(name, trial))
        self.refresh()

    def ended(self, name: str, state: str) -> None:
        """Show that a trial finished, stopped or failed."""
        self.trials[name].state = state
        self.refresh()

    def _line(self, name: str, trial: TrialProgress) -> str:
        parts = [f"{name}: {trial.env_steps:,} of {self.target:,} env steps", f"{trial.speed:,.0f} steps/s"]
        parts += [f"greedy return {trial.eval_return:.1f}"] if trial.eval_return is not None else []
        left = trial.seconds_left(self.target)
        parts += [f"{left:.0f} s left"] if left and trial.env_steps < self.target else []
        return ", ".join(parts)

    def renderable(self) -> RenderableType:
        """Return the trials, one a line."""
        table = Table(show_edge=False, pad_edge=False)
        for heading in ("run", "", "env steps", "steps/s", "return while exploring", "greedy return", "left"):
            table.add_column(heading, justify="left" if heading in ("run", "") else "right")
        for name, trial in self.trials.items():
            left = trial.seconds_left(self.target)
            table.add_row(
                name,
                ProgressBar(total=self.target, completed=min(trial.env_steps, self.target), width=20),
                f"{trial.env_steps:,}" if trial.state == "training" else trial.state,
                f"{trial.speed:,.0f}" if trial.speed else "",
                "" if trial.train_return is None else f"{trial.train_return:.1f}",
                "" if trial.eval_return is None else f"{trial.eval_return:.1f}",
                "" if left is None or trial.state != "training" else f"{left:.0f} s",
            )
        for name, value in self.references.items():
            table.add_row(f"({name})", "", "", "", "", f"{value:.1f}", "", style="dim")
        return table
