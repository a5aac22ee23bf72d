"""Ctrl-C: the first lets the trials report, checkpoint and stop, the second ends the command at once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
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


@contextmanager
def stop_on_interrupt(stopper: OnRequest, say: Callable[[str], None]) -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM into a request to stop, the second into `KeyboardInterrupt`."""

    def request(number: int, frame: FrameType | None) -> None:
        if stopper.requested:
            raise KeyboardInterrupt
        stopper.requested = True
        say("stopping after the next report; again: at once")

    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
