"""A run's progress display: a live table on a terminal, plain lines otherwise."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from recsys_cli.config.paths import show_path
from recsys_cli.config.schema import TrainConfig
from recsys_cli.runs.folder import FAILED, FINISHED, PAUSED, PRUNED, RUNNING, START, STOPPED, WAITING, started_from
from recsys_cli.runs.plan import Plan, Point, spell_values
from recsys_cli.tracking.bundle import version_of

SHOWN, STATES = 12, (RUNNING, PAUSED, FINISHED, PRUNED, STOPPED, FAILED)
PLAIN: dict[str, Any] = {"soft_wrap": True, "markup": False}
PATIENCE_S = 3.0  # before we say what is being waited for
PLAIN_EVERY = 30.0  # seconds between lines about the whole search
WIDE, NARROW = 100, (0, 2, 3, 5, 6)  # columns of the terminal, and those of the table that a narrow one has room for
LEFT = ("seed", "", "values")  # columns whose text is flush left


@dataclass
class SeedProgress:
    """Latest values of one seed."""

    values: Mapping[str, str]
    target: int
    state: str = WAITING
    steps: int = 0
    speed: float = 0.0
    train_return: float = math.nan
    score: float = math.nan
    began: float | None = None
    first_steps: int = 0
    finished: bool = False

    def update(self, report: dict[str, Any], metric: str) -> None:
        """Update from a report."""
        if self.began is None and not report["repeated"]:
            self.began, self.first_steps = time.monotonic(), report["steps"]
        metrics, self.state, self.steps = report["metrics"], RUNNING, report["steps"]
        self.finished = report["finished"]
        self.speed = metrics.get("time/steps_per_s", self.speed)
        self.train_return = metrics.get("train/return", self.train_return)
        self.score = metrics.get(metric, self.score)

    @property
    def left(self) -> int:
        """Steps left to train: none if it finished early, as what settles does."""
        return 0 if self.finished else max(0, self.target - self.steps)

    @property
    def spelled(self) -> str:
        """The steps done, and of how many unless it finished before."""
        early = self.finished and self.steps < self.target
        return f"done after {self.steps:,} steps" if early else f"{self.steps:,} of {self.target:,} steps"

    def seconds_left(self) -> float | None:
        """Return the seconds left at the pace so far (evaluations and checkpoints included), None without a pace."""
        done = self.steps - self.first_steps
        return self.left * (time.monotonic() - self.began) / done if self.began is not None and done > 0 else None


class Display:
    """Shows a run while the block lasts: its seeds and, for a search, the best so far and the time left.

    Args:
        mode: `auto`, `rich`, `plain` or `off`.
        plan: of the run.
    """

    def __init__(self, mode: str, plan: Plan) -> None:
        """Check where it writes."""
        self.console = Console(highlight=False)
        self.mode = ("rich" if self.console.is_terminal else "plain") if mode == "auto" else mode
        self.plan, self.search = plan, plan.search
        self.live: Live | None = None
        self.seeds: dict[str, SeedProgress] = {}
        self.references: dict[str, float] = {}
        self.said = time.monotonic()
        self.awaited = threading.Timer(0, self.say)

    def __enter__(self) -> Self:
        """Start the display."""
        if self.mode == "rich":
            self.live = Live(self.renderable(), console=self.console, refresh_per_second=4, transient=True)
            self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        """End the display."""
        self.awaited.cancel()
        if self.live is not None:
            self.live.stop()
            self.live = None

    def say(self, line: str) -> None:
        """Print a line that stays."""
        if self.mode == "off":
            print(line, file=sys.stderr)
        else:
            self.console.print(line, **PLAIN)

    def hint(self, line: str) -> None:
        """Print a line about this moment, unless `progress` is off."""
        if self.mode != "off":
            self.say(line)

    def expect(self, what: str) -> None:
        """Say what the next report waits for, if it takes long."""
        self.awaited.cancel()
        self.awaited = _said_later(what, self.hint)

    def add(self, name: str, point: Point, state: str, steps: int) -> None:
        """Show a seed of a point, with its steps in earlier sessions."""
        self.seeds[name] = SeedProgress(point.values, point.config.steps, state, steps)

    def set_references(self, returns: dict[str, float]) -> None:
        """Show the baselines' returns beside the seeds'."""
        self.references = returns
        if self.mode == "plain" and returns:
            self.say("baselines: " + ", ".join(f"{name} {value:.1f}" for name, value in returns.items()))
        self._refresh()

    def report(self, name: str, report: dict[str, Any]) -> None:
        """Show a seed's report."""
        self.awaited.cancel()
        seed = self.seeds[name]
        seed.update(report, self.search.metric)
        self._refresh()
        if self.mode != "plain":
            return
        if self.plan.searches and time.monotonic() - self.said >= PLAIN_EVERY:
            self.said = time.monotonic()
            self.say(self._summary())
        elif not self.plan.searches and (self.search.metric in report["metrics"] or report["finished"]):
            self.say(self._line(name, seed))

    def show(self, name: str, state: str) -> None:
        """Show that a seed runs, waits, finished, was stopped or failed."""
        seed = self.seeds[name]
        seed.state = state
        if self.mode == "plain" and self.plan.searches and state not in (PAUSED, RUNNING):
            score = "" if math.isnan(seed.score) else f", {self.search.metric} {spell_score(seed.score)}"
            self.say(f"{name} {state} at {seed.steps:,} steps{score}: {spell_values(seed.values)}")
        self._refresh()

    @property
    def _judged(self) -> str:
        return "estimated" if self.search.metric == "ope/return" else "greedy"

    def _line(self, name: str, seed: SeedProgress) -> str:
        parts = [f"{name}: {seed.spelled}", f"{seed.speed:,.0f} steps/s"]
        parts += [] if math.isnan(seed.score) else [f"{self._judged} return {seed.score:.1f}"]
        seconds = seed.seconds_left()
        parts += [f"{seconds:.0f} s left"] if seconds else []
        return ", ".join(parts)

    def _best(self) -> tuple[str, SeedProgress] | None:
        scored = {name: seed for name, seed in self.seeds.items() if not math.isnan(seed.score)}
        sign = 1 if self.search.mode == "max" else -1
        furthest = max((seed.steps for seed in scored.values()), default=0)
        # Scores of trainings cut short cannot be compared with those of whole ones.
        fit = {name: seed for name, seed in scored.items() if 2 * seed.steps >= furthest}
        return max(fit.items(), key=lambda item: sign * item[1].score, default=None)

    def _summary(self) -> str:
        states = Counter(seed.state for seed in self.seeds.values())
        waiting = self.plan.expected * self.search.seeds_per_point - sum(states[state] for state in STATES)
        parts = [f"{states[state]} {state}" for state in STATES if states[state]]
        parts += [f"{waiting} waiting"] if waiting > 0 else []
        seconds = self.seconds_left()
        parts += [] if seconds is None else [f"at most {spell_seconds(seconds)} left"]
        if (best := self._best()) is not None:
            name, seed = best
            parts.append(f"best so far {spell_score(seed.score)} ({name}: {spell_values(seed.values)})")
        return ", ".join(parts)

    def seconds_left(self) -> float | None:
        """Return the seconds left at the pace so far, if no more trials were stopped early; None without a pace."""
        seeds = self.seeds.values()
        target = next((seed.target for seed in seeds), 0)
        left = sum(seed.left for seed in seeds if seed.state not in (PRUNED, FAILED))
        left += target * (self.plan.expected * self.search.seeds_per_point - len(seeds))
        begun = [(seed.began, seed.steps - seed.first_steps) for seed in seeds if seed.began is not None]
        done = sum(steps for _, steps in begun)  # since the first report: what came before was start-up
        return left * (time.monotonic() - min(began for began, _ in begun)) / done if done > 0 else None

    def _refresh(self) -> None:
        if self.live is not None:
            self.live.update(self.renderable())

    def renderable(self) -> RenderableType:
        """Return the seeds (of a search the running ones), one per line; the baselines, or a search's best so far."""
        table = Table(show_edge=False, pad_edge=False)
        score = self.search.metric if self.plan.searches else "greedy return"
        headings = ("seed", "", "steps", "steps/s", "return while exploring", score, "left", "values")
        kept = range(len(headings)) if self.console.width >= WIDE else NARROW
        for i in kept:
            table.add_column(headings[i], justify="left" if headings[i] in LEFT else "right", no_wrap=i == 0)
        shown = [each for each in self.seeds.items() if each[1].state == RUNNING or not self.plan.searches]
        for name, seed in shown[:SHOWN]:
            seconds = seed.seconds_left() if seed.state == RUNNING else None
            row = (
                name,
                ProgressBar(seed.target, seed.target - seed.left, 20),
                f"{seed.steps:,}" if seed.state == RUNNING else seed.state,
                f"{seed.speed:,.0f}" if seed.speed else "",
                "" if math.isnan(seed.train_return) else f"{seed.train_return:.1f}",
                "" if math.isnan(seed.score) else spell_score(seed.score),
                "" if seconds is None else spell_seconds(seconds),
                spell_values(seed.values),
            )
            table.add_row(*(row[i] for i in kept))
        for name, value in self.references.items():
            dim = (f"({name})", "", "", "", "", f"{value:.1f}", "", "")
            table.add_row(*(dim[i] for i in kept), style="dim")
        return Group(table, Text(self._summary())) if self.plan.searches else table


def hints(progress: str) -> Callable[[str], None]:
    """Return what prints a line about this moment before a run's display starts: nothing if `progress` is off."""
    return (lambda line: None) if progress == "off" else (lambda line: print(line, file=sys.stderr))


def announce_training(config: TrainConfig, run_dir: Path) -> None:
    """Print what is about to run, and where, unless `progress` is off."""
    if config.progress == "off":
        return
    env, seeds = config.env, config.seeds
    runs = "" if seeds == 1 else f", {seeds} seeds"
    source, most = ("", "") if config.data is None else (f" from the log {show_path(Path(config.data))}", "at most ")
    Console(highlight=False).print(
        f"training {config.algo.name} on {env.name} (C={env.num_candidates}, k={env.slate_size}){source}: "
        f"{most}{config.steps:,} steps{runs}\nfolder {show_path(run_dir)}",
        **PLAIN,
    )
    if (start := started_from(run_dir)) is not None:
        name, version = start.config["algo"]["name"], version_of(run_dir / START)
        what = config.algo.starts_from.format(f"{name} after {start.info['steps']:,} steps (version {version})")
        Console(highlight=False).print(f"starts from {what}", **PLAIN)


def _said_later(what: str, say: Callable[[str], None]) -> threading.Timer:
    timer = threading.Timer(PATIENCE_S, say, [f"waiting for {what}"])
    timer.daemon = True
    timer.start()
    return timer


@contextmanager
def waiting(what: str, say: Callable[[str], None]) -> Iterator[None]:
    """Say what is being waited for if the block lasts longer than `PATIENCE_S`."""
    timer = _said_later(what, say)
    try:
        yield
    finally:
        timer.cancel()


def spell_score(score: float) -> str:
    """Return a score with enough digits to compare it: 277.5, 0.8312."""
    return f"{score:.1f}" if abs(score) >= 10 or score == 0 else f"{score:.4g}"


def spell_seconds(seconds: float) -> str:
    """Return a duration in words: 40 s, 12 min, 3.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
