"""What a sweep shows while it runs: a live table on a terminal, plain lines otherwise."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from recsys_cli.config.schema import SweepConfig
from recsys_cli.runs.callbacks import FAILED, FINISHED, PRUNED, STOPPED
from recsys_cli.runs.display import Terminal
from recsys_cli.search.points import told

SHOWN, STATES = 12, ("running", "paused", FINISHED, PRUNED, STOPPED, FAILED)
PLAIN_EVERY = 30.0  # seconds between two lines about the whole


@dataclass
class MemberProgress:
    """The latest of one seed of one point."""

    values: Mapping[str, str]
    state: str = "waiting"
    env_steps: int = 0
    score: float = math.nan


class SweepProgress(Terminal):
    """Shows the members of a sweep by state, the best so far, and the time left.

    Attributes:
        points: how many there will be.

    Args:
        mode: `auto`, `rich`, `plain` or `off`.
        config: of the sweep.
    """

    def __init__(self, mode: str, config: SweepConfig) -> None:
        """Prepare; `with` starts and ends the display."""
        super().__init__(mode)
        self.config, self.points = config, 0
        self.members: dict[str, MemberProgress] = {}
        self.began, self.told = time.monotonic(), time.monotonic()
        self.done_before = 0

    def add(self, name: str, values: Mapping[str, str]) -> None:
        """Show a member."""
        self.members[name] = MemberProgress(values)

    def report(self, name: str, result: dict[str, Any]) -> None:
        """Show a member's report."""
        member = self.members[name]
        if result["repeated"]:
            self.done_before += result["env_steps"] - member.env_steps
        member.env_steps, member.state = result["env_steps"], "running"
        member.score = result["metrics"].get(self.config.search.metric, member.score)
        self.refresh()
        if self.mode == "plain" and time.monotonic() - self.told >= PLAIN_EVERY:
            self.told = time.monotonic()
            self.say(self._summary())

    def ended(self, name: str, state: str) -> None:
        """Show that a member finished, was stopped, failed, or waits."""
        member = self.members[name]
        member.state = state
        if self.mode == "plain" and state not in ("paused", "running"):
            score = "" if math.isnan(member.score) else f", {self.config.search.metric} {spell_score(member.score)}"
            self.say(f"{name} {state} at {member.env_steps:,} env steps{score}: {told(member.values)}")
        self.refresh()

    def _best(self) -> tuple[str, MemberProgress] | None:
        scored = {name: member for name, member in self.members.items() if not math.isnan(member.score)}
        sign = 1 if self.config.search.mode == "max" else -1
        furthest = max((member.env_steps for member in scored.values()), default=0)
        # Scores of trainings cut short are no match for those of whole ones.
        fit = {name: member for name, member in scored.items() if 2 * member.env_steps >= furthest}
        return max(fit.items(), key=lambda item: sign * item[1].score, default=None)

    def _summary(self) -> str:
        seeds = self.config.search.seeds_per_point
        states = Counter(member.state for member in self.members.values())
        waiting = self.points * seeds - sum(states[state] for state in STATES)
        parts = [f"{states[state]} {state}" for state in STATES if states[state]]
        parts += [f"{waiting} waiting"] if waiting > 0 else []
        left = self.seconds_left()
        if left is not None:
            parts.append(f"at most {spell(left)} left")
        best = self._best()
        if best is not None:
            name, member = best
            parts.append(f"best so far {spell_score(member.score)} ({name}: {told(member.values)})")
        return ", ".join(parts)

    def seconds_left(self) -> float | None:
        """Return the seconds left at the pace so far, if no more trials were stopped early; None without a pace."""
        done = sum(member.env_steps for member in self.members.values())
        target = self.config.env_steps * self.config.search.seeds_per_point
        saved = sum(
            self.config.env_steps - min(member.env_steps, self.config.env_steps)
            for member in self.members.values()
            if member.state in (PRUNED, FAILED)
        )
        left = target * self.points - done - saved
        pace = (done - self.done_before) / max(time.monotonic() - self.began, 1e-9)
        return max(0.0, left / pace) if pace > 0 else None

    def renderable(self) -> RenderableType:
        """Return the members that run, and the best."""
        table = Table(show_edge=False, pad_edge=False)
        for heading in ("trial", "", "env steps", self.config.search.metric, "values"):
            table.add_column(heading, justify="left" if heading in ("trial", "", "values") else "right")
        active = {name: member for name, member in self.members.items() if member.state == "running"}
        for name, member in list(active.items())[:SHOWN]:
            table.add_row(
                name,
                ProgressBar(self.config.env_steps, min(member.env_steps, self.config.env_steps), 20),
                f"{member.env_steps:,}",
                "" if math.isnan(member.score) else spell_score(member.score),
                told(member.values),
            )
        return Group(table, Text(self._summary()))


def spell_score(score: float) -> str:
    """Return a score in as many digits as tell it from others: 277.5, 0.8312."""
    return f"{score:.1f}" if abs(score) >= 10 or score == 0 else f"{score:.4g}"


def spell(seconds: float) -> str:
    """Return a duration in words: 40 s, 12 min, 3.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
