"""What a service does beside answering: a thread that calls functions again and again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from recsys_cli.config.errors import one_line
from recsys_cli.config.notices import warn


@dataclass
class Chore:
    """A function and the seconds between its calls; what it raises is printed once, and it is called again.

    `end` is called after the last call.
    """

    what: str
    seconds: float
    do: Callable[[], object]
    end: Callable[[], object] = lambda: None
    due: float = field(default=0.0)

    def step(self, now: float) -> None:
        """Call the function if it is due."""
        if now < self.due:
            return
        self.due = now + self.seconds
        try:
            self.do()
        except Exception as error:  # whatever it is, requests must go on
            warn(f"{self.what}: {type(error).__name__}: {one_line(error)}; tried again every {self.seconds:g} s")


class Chores:
    """Runs chores in a thread until closed."""

    def __init__(self, *chores: Chore) -> None:
        """Start."""
        self._chores, self._ended = chores, threading.Event()
        self._thread = threading.Thread(target=self._run, name="chores", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        shortest = min(chore.seconds for chore in self._chores)
        while not self._ended.wait(shortest / 2):
            for chore in self._chores:
                chore.step(time.monotonic())

    def close(self) -> None:
        """End the thread, after what it is doing."""
        self._ended.set()
        self._thread.join(timeout=10)
        if not self._thread.is_alive():
            for chore in self._chores:
                chore.end()
