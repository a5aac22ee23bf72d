"""The driver's reactions when a trial reports, pauses, changes or ends."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

from ray import cloudpickle
from ray.exceptions import RayActorError, RayTaskError
from ray.tune import Callback

from recsys_cli.config.errors import one_line
from recsys_cli.config.paths import show_path
from recsys_cli.files import write_text
from recsys_cli.runs.display import Display
from recsys_cli.runs.folder import FAILED, FINISHED, PAUSED, PRUNED, RUNNING, STOPPED, note
from recsys_cli.runs.plan import Plan, Point
from recsys_cli.runs.session import LOGS
from recsys_cli.runs.stopping import OnRequest
from recsys_cli.runs.trial import folders_of
from recsys_cli.tracking.tracker import Tracker

ERROR = "error.txt"
# Lost processes of one trial in one session; one more counts as its own failure, as when it eats all memory.
LOSSES = 3


class Reporting(Callback):
    """Hands reports to tracker and display, records how each seed ended, and stops the run when its budget is spent.

    Attributes:
        states: state of each seed.
        before: its state before this session.
        steps: its steps trained so far.
        stopper: whether a stop was requested.
        spent: whether the budget is spent.

    Args:
        plan: the policy for failures, and the budget; a seed of a training is finished once it is evaluated.
        tracker: gets reports and states.
        display: shows them, and failures in one line each.
    """

    def __init__(self, plan: Plan, tracker: Tracker, display: Display) -> None:
        """Start with nothing spent."""
        self.plan, self.search, self.tracker, self.display = plan, plan.search, tracker, display
        self.states: dict[Path, str] = {}
        self.before: dict[Path, str | None] = {}
        self.steps: dict[Path, int] = {}
        self.stopper = OnRequest(idle=lambda: not any(trial.status == "RUNNING" for trial in self.trials))
        self.spent = False
        self.trials: list[Any] = []
        self.began = time.monotonic()
        self.starts: dict[Path, int] = {}
        self.points: dict[Path, dict[str, Any]] = {}
        self.trained: set[Path] = set()
        self.paused: set[Path] = set()
        self.losses: Counter[Path] = Counter()
        self.lost: set[Path] = set()

    def begin(self, folder: Path, state: str, before: str | None, steps: int, point: Point) -> None:
        """Register a seed in the state that this session finds it in."""
        self.before[folder], self.steps[folder] = before, steps
        self.display.add(folder.name, point, state, steps)
        self.write_state(folder, state)

    def write_state(self, folder: Path, state: str, **more: Any) -> None:
        """Record and track a seed's state; a training's seed is evaluated before it is recorded as finished."""
        self.states[folder] = state
        shown = RUNNING if state == FINISHED and not self.plan.searches else state
        note(folder, status=shown, **more)
        self.tracker.set_status(folder, shown)

    def close(self, folder: Path) -> None:
        """Record that a seed of a training is finished: it was evaluated."""
        if not self.plan.searches:
            note(folder, status=self.states[folder])
            self.tracker.set_status(folder, self.states[folder])

    def _set_state(self, folder: Path, state: str, **more: Any) -> None:
        self.write_state(folder, state, **more)
        self.display.show(folder.name, state)

    def take_lost(self) -> set[Path]:
        """Return the folders of trials lost since the last call, which nobody runs now."""
        lost, self.lost = self.lost, set()
        return lost

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Show that a trial runs (again); keep the list of trials, which Tune keeps changing."""
        self.trials = trials
        self.started(folders_of(trial))

    def started(self, folders: list[Path]) -> None:
        """Show that a trial's seeds train."""
        for folder in folders:
            self._set_state(folder, RUNNING)

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """Pass a trial's result on."""
        self.reported(folders_of(trial), result)

    def reported(self, folders: list[Path], result: dict[str, Any]) -> None:
        """Journal the metrics, upload new checkpoints, refresh the display; check for changed values and the budget."""
        self._note_point(folders, result["point"])
        numbers = {f"point/{key}": value for key, value in result["point"].items() if _is_number(value)}
        for report in result["reports"]:
            folder = Path(report["folder"])
            if not report["repeated"]:
                self.trained.add(folder)
                self._track(folder, {**report, "metrics": report["metrics"] and {**report["metrics"], **numbers}})
            self.states[folder] = FINISHED if report["finished"] else STOPPED  # if it ends now
            self.steps[folder] = max(self.steps.get(folder, 0), report["steps"])
            self.display.report(folder.name, report)
        self._spend()

    def _note_point(self, folders: list[Path], point: dict[str, Any]) -> None:
        for folder in folders:
            if self.points.get(folder, {}) != point:
                note(folder, point=point)
                self.tracker.tag(folder, {f"point.{key}": value for key, value in point.items()})
            self.points[folder] = point

    def _track(self, folder: Path, report: dict[str, Any]) -> None:
        if self.starts.get(folder, report["resumed_from"]) < report["resumed_from"]:
            # The trial failed and restarted from its last checkpoint: its later reports come again.
            self.tracker.rewind(folder, report["resumed_from"])
        self.starts[folder] = report["resumed_from"]
        if report["metrics"]:
            self.tracker.log(folder, report["steps"], report["metrics"])
        if report["checkpoint"]:
            for alias in ("last", "best") if report["best"] else ("last",):
                self.tracker.upload_bundle(folder, Path(report["checkpoint"]), alias)

    def _spend(self) -> None:
        if self.stopper.requested:
            return
        steps, seconds = self.search.max_steps, self.search.max_seconds
        if steps is not None and sum(self.steps.values()) >= steps:
            self._stop(f"search.max_steps={steps:,} are spent")
        elif seconds is not None and time.monotonic() - self.began >= seconds:
            self._stop(f"search.max_seconds={seconds:g} are over")

    def stop_for(self, error: Exception) -> None:
        """End the run after the next reports: the baselines failed, and what is trained cannot be compared."""
        self._stop(f"the baselines failed: {one_line(error)}")

    def _stop(self, why: str) -> None:
        self.display.say(f"{why}: stopping after the next report of running trials")
        self.spent = self.stopper.requested = True

    def on_step_end(self, iteration: int, trials: list[Any], **_: Any) -> None:
        """Show which trials a scheduler has paused."""
        paused = {folder for trial in trials if trial.status == "PAUSED" for folder in folders_of(trial)}
        for folder in paused - self.paused:
            self._set_state(folder, PAUSED)
        self.paused = paused

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Record how the trial ended."""
        self.completed(folders_of(trial))

    def completed(self, folders: list[Path]) -> None:
        """Record how a trial's seeds ended."""
        for folder in folders:
            state = self.states.get(folder, STOPPED)
            self._ended(folder, FINISHED if state == FINISHED else self._stopped(folder))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Show how it failed, or keep it for later if it lost its process."""
        error, folders = error_of(trial), folders_of(trial)
        if is_loss(error) and self._lose(folders):
            return
        repeated = trial.config["failed"] is not None
        logs = None if trial.config["config"]["resources"]["ray_address"] else folders[0].parent / LOGS
        self.failed(folders, getattr(error, "traceback_str", str(error)), None if repeated else error, logs)

    def failed(self, folders: list[Path], text: str, error: BaseException | None, logs: Path | None = None) -> None:
        """Show how a trial failed and keep the full error.

        Args:
            folders: of its seeds.
            text: the traceback.
            error: None if it was shown in an earlier session.
            logs: Ray's, on this machine.
        """
        for folder in folders:
            if error is not None:
                write_text(folder / ERROR, text)
                more = f", Ray's logs in {show_path(logs)}" if logs else ""
                line = f"{folder.name} failed: {last_line(error)}; all of it in {show_path(folder / ERROR)}{more}"
                self.display.say(line)
            self._ended(folder, FAILED)
        if self.search.on_failure == "stop" and not self.stopper.requested:
            self._stop("search.on_failure=stop")

    def _lose(self, folders: list[Path]) -> bool:
        """Keep a lost trial for later, unless it was lost too often."""
        self.losses.update(folders)
        if self.losses[folders[0]] > LOSSES:
            return False
        self.lost.update(folders)
        for folder in folders:
            self.display.say(
                f"{folder.name} lost its process or node: it continues from its last checkpoint once others end"
            )
            self._set_state(folder, PAUSED)
        return True

    def _ended(self, folder: Path, state: str) -> None:
        self._set_state(folder, state, **({"pruned": True} if state == PRUNED else {}))

    def _stopped(self, folder: Path) -> str:
        """Return why a seed ended early: stopped by its scheduler, or with the whole run."""
        if not self.stopper.requested:
            return PRUNED
        before = self.before.get(folder)
        return before if before in (FINISHED, PRUNED) and folder not in self.trained else STOPPED


def error_of(trial: Any) -> BaseException | None:
    """Return a trial's error as staged on this machine, since Tune copies it to the run later."""
    file = trial.pickled_error_file
    return cloudpickle.loads(Path(file).read_bytes()) if file and Path(file).exists() else None


def is_loss(error: BaseException | None) -> bool:
    """Whether a trial ended because it lost a process, as with its node, and not by its own error."""
    cause = error.as_instanceof_cause() if isinstance(error, RayTaskError) else error
    return isinstance(cause, RayActorError) and not cause.actor_init_failed


def last_line(error: BaseException | str | None) -> str:
    """Return the line of a remote traceback that says what happened."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else repr(error)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
