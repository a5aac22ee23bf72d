"""What happens in the driver when a trial reports or ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from ray import cloudpickle
from ray.exceptions import RayActorError, RayTaskError
from ray.tune import Callback

from recsys_cli.tracking.tracker import Tracker
from recsys_cli.runs.spec import folders_of

FINISHED, STOPPED, FAILED, PRUNED, WAITING = "finished", "stopped", "failed", "pruned", "waiting"


def error_of(trial: Any) -> BaseException | None:
    """Return what a trial of Tune's failed by: as staged on this machine, since Tune copies it to the run later."""
    file = trial.pickled_error_file
    return cloudpickle.loads(Path(file).read_bytes()) if file and Path(file).exists() else None


def is_loss(error: BaseException | None) -> bool:
    """Whether a trial ended because a process of it was gone, as with its node, and not by an error of its own."""
    cause = error.as_instanceof_cause() if isinstance(error, RayTaskError) else error
    return isinstance(cause, RayActorError) and not cause.actor_init_failed


class Display(Protocol):
    """What a terminal shows of the members."""

    def report(self, name: str, result: dict[str, Any]) -> None:
        """Show a report."""

    def ended(self, name: str, state: str) -> None:
        """Show that a member finished, stopped or failed."""


class Reporting(Callback):
    """Hands every report to the tracker and to the display, and keeps how each member ended."""

    def __init__(self, tracker: Tracker, display: Display) -> None:
        """Report to both."""
        self.tracker = tracker
        self.display = display
        self.states: dict[Path, str] = {}
        self.starts: dict[Path, int] = {}
        self.trials: list[Any] = []

    @property
    def idle(self) -> bool:
        """Whether no trial is running."""
        return not any(trial.status == "RUNNING" for trial in self.trials)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Keep all trials, which Tune goes on changing."""
        self.trials = trials

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """Journal the metrics, upload new checkpoints, refresh the display."""
        for report in result["reports"]:
            folder = Path(report["folder"])
            if not report["repeated"]:
                self._track(folder, report)
            self.states[folder] = FINISHED if report["finished"] else STOPPED
            self.display.report(folder.name, report)

    def _track(self, folder: Path, report: dict[str, Any]) -> None:
        if self.starts.get(folder, report["resumed_from"]) < report["resumed_from"]:
            # The trial failed and began anew from a later checkpoint: what it reported since comes again.
            self.tracker.rewind(folder, report["resumed_from"])
        self.starts[folder] = report["resumed_from"]
        if report["metrics"]:
            self.tracker.log(folder, report["env_steps"], report["metrics"])
        if report["checkpoint"]:
            self.tracker.upload_bundle(folder, Path(report["checkpoint"]), "last")
            if report["best"]:
                self.tracker.upload_bundle(folder, Path(report["checkpoint"]), "best")

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Show the end."""
        for folder in folders_of(trial):
            self._ended(folder, self.states.get(folder, STOPPED))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Show the failure."""
        for folder in folders_of(trial):
            self._ended(folder, FAILED)

    def _ended(self, folder: Path, state: str) -> None:
        self.states[folder] = state
        self.display.ended(folder.name, state)
