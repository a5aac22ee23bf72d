"""What happens in the driver when a trial reports or ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray.tune import Callback

from recsys_cli.tracking.tracker import Tracker
from recsys_cli.tuning.progress import Progress

FINISHED, STOPPED, FAILED = "finished", "stopped", "failed"


class Reporting(Callback):
    """Hands every report to the tracker and to the display, and keeps how each trial ended."""

    def __init__(self, tracker: Tracker, progress: Progress) -> None:
        """Report to both."""
        self.tracker = tracker
        self.progress = progress
        self.states: dict[Path, str] = {}
        self.starts: dict[Path, int] = {}
        self.running: set[Path] = set()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Keep which trials run."""
        self.running.add(Path(trial.config["trial_dir"]))

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """Journal the metrics, upload a new checkpoint, refresh the display."""
        folder = Path(trial.config["trial_dir"])
        if self.starts.get(folder, result["resumed_from"]) < result["resumed_from"]:
            # The trial failed and began anew from a later checkpoint: what it reported since comes again.
            self.tracker.rewind(folder, result["resumed_from"])
        self.starts[folder] = result["resumed_from"]
        if result["metrics"]:
            self.tracker.log(folder, result["env_steps"], result["metrics"])
        if result["checkpoint"]:
            self.tracker.upload_bundle(folder, Path(result["checkpoint"]), "last")
            if result["best"]:
                self.tracker.upload_bundle(folder, Path(result["checkpoint"]), "best")
        self.states[folder] = FINISHED if result["finished"] else STOPPED
        self.progress.report(folder.name, result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Show the end."""
        folder = Path(trial.config["trial_dir"])
        self.running.discard(folder)
        self.progress.ended(folder.name, self.states.get(folder, STOPPED))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Show the failure."""
        folder = Path(trial.config["trial_dir"])
        self.running.discard(folder)
        self.states[folder] = FAILED
        self.progress.ended(folder.name, FAILED)
