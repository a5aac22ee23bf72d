"""Stopping all trials of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune import Stopper


class OnRequest(Stopper):
    """Stops all trials after their next report once `requested`."""

    def __init__(self, idle: Callable[[], bool]) -> None:
        """Start without a request; `idle` returns whether no trial is running."""
        self.requested = False
        self.idle = idle

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without `idle`, which may not be picklable; nobody reads what Tune saves of it."""
        return {"requested": self.requested}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether this trial must stop."""
        return self.requested

    def stop_all(self) -> bool:
        """Whether to end the run; only once running trials have stopped, else their last reports would be lost."""
        return self.requested and self.idle()
