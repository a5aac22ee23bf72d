"""What happens in the driver of a sweep when a trial reports, pauses, changes or ends."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from recsys_cli.config.paths import show_path
from recsys_cli.config.search import SearchConfig
from recsys_cli.runs.callbacks import FINISHED, PRUNED, STOPPED, Display, Reporting, error_of, is_loss
from recsys_cli.runs.driver import last_line, note
from recsys_cli.runs.spec import folders_of
from recsys_cli.runs.stopping import OnRequest
from recsys_cli.tracking.files import write_text
from recsys_cli.tracking.tracker import Tracker

ERROR = "error.txt"
# Of a trial's processes in one session; one more counts as a failure of its own, as where it eats all memory.
LOSSES = 3


class SweepReporting(Reporting):
    """Closes each member as it ends, tells failures at once, and stops the sweep when its budget is spent.

    Attributes:
        before: how each member had ended before this session.
        spent: whether the budget is.

    Args:
        tracker: gets reports and states.
        display: shows them.
        search: its budget, and what a failure means.
        say: gets one line a failure.
    """

    def __init__(self, tracker: Tracker, display: Display, search: SearchConfig, say: Callable[[str], None]) -> None:
        """Spend nothing yet; `env_steps` shall hold what each member has trained before this session."""
        super().__init__(tracker, display)
        self.search, self.say = search, say
        self.stopper = OnRequest(idle=lambda: self.idle)
        self.env_steps: dict[Path, int] = {}
        self.began = time.monotonic()
        self.paused: set[Path] = set()
        self.points: dict[Path, dict[str, Any]] = {}
        self.before: dict[Path, str | None] = {}
        self.trained: set[Path] = set()
        self.spent = False
        self.losses: Counter[Path] = Counter()
        self.lost: set[Path] = set()

    def take_lost(self) -> set[Path]:
        """Return the folders of the trials that were lost since the last call: nobody runs them now."""
        lost, self.lost = self.lost, set()
        return lost

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """Note what changed in the trial, and what was spent."""
        point = result["point"]
        for folder in folders_of(trial):
            if self.points.get(folder, {}) != point:
                note(folder, point=point)
                self.tracker.tag(folder, {f"point.{key}": value for key, value in point.items()})
            self.points[folder] = point
        numbers = {f"point/{key}": value for key, value in point.items() if _is_number(value)}
        for report in result["reports"]:
            if not report["repeated"]:
                self.trained.add(Path(report["folder"]))
                report["metrics"] = {**report["metrics"], **numbers} if report["metrics"] else {}
        super().on_trial_result(iteration, trials, trial, result)
        for report in result["reports"]:
            folder = Path(report["folder"])
            self.env_steps[folder] = max(self.env_steps[folder], report["env_steps"])
        self._spend()

    def _spend(self) -> None:
        if self.stopper.requested:
            return
        steps, seconds = self.search.max_env_steps, self.search.max_seconds
        spent = sum(self.env_steps.values())
        if steps is not None and spent >= steps:
            self._stop(f"search.max_env_steps={steps:,} are spent")
        elif seconds is not None and time.monotonic() - self.began >= seconds:
            self._stop(f"search.max_seconds={seconds:g} are over")

    def _stop(self, why: str) -> None:
        self.say(f"{why}: stopping after the next report of what runs")
        self.spent = self.stopper.requested = True

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Show that a trial runs, or runs again."""
        super().on_trial_start(iteration, trials, trial)
        for folder in folders_of(trial):
            self._set(folder, "running")

    def on_step_end(self, iteration: int, trials: list[Any], **_: Any) -> None:
        """Show which trials a scheduler has paused."""
        paused = {folder for trial in trials if trial.status == "PAUSED" for folder in folders_of(trial)}
        for folder in paused - self.paused:
            self._set(folder, "paused")
        self.paused = paused

    def _set(self, folder: Path, state: str) -> None:
        note(folder, status=state)
        self.tracker.set_status(folder, state)
        self.display.ended(folder.name, state)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Tell the failure, and keep all of it; a trial whose process is gone did not fail."""
        error = error_of(trial)
        if is_loss(error) and self._lose(folders_of(trial)):
            return
        for folder in folders_of(trial) if trial.config["failed"] is None else ():
            log = folder / ERROR
            write_text(log, getattr(error, "traceback_str", str(error)))
            self.say(f"{folder.name} failed: {last_line(error)}; all of it in {show_path(log)}")
        super().on_trial_error(iteration, trials, trial)
        if self.search.on_failure == "stop" and not self.stopper.requested:
            self._stop("search.on_failure=stop")

    def _lose(self, folders: list[Path]) -> bool:
        """Keep a lost trial for later, unless it was lost too often."""
        self.losses.update(folders)
        if self.losses[folders[0]] > LOSSES:
            return False
        self.lost.update(folders)
        for folder in folders:
            self.say(f"{folder.name} lost its process or node: it goes on from its last checkpoint once others end")
            self._set(folder, "paused")
        return True

    def _ended(self, folder: Path, state: str) -> None:
        if state == STOPPED:
            state = self._stopped(folder)
        super()._ended(folder, state)
        note(folder, status=state, **({"pruned": True} if state == PRUNED else {}))
        self.tracker.set_status(folder, state)

    def _stopped(self, folder: Path) -> str:
        """Return what it means that a member ended early: its scheduler's doing, or that of a stop of everything."""
        if not self.stopper.requested:
            return PRUNED
        before = self.before.get(folder)
        return before if before in (FINISHED, PRUNED) and folder not in self.trained else STOPPED


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
