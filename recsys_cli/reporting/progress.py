"""How far an evaluation is: one changing line on a terminal, a few lines otherwise."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

PATIENCE = 2.0  # seconds before the first word
PLAIN_EVERY = 10.0  # seconds between plain lines about one policy


class Progress:
    """Shows progress while the block lasts; called with what is done, and with how many users of how many.

    Args:
        mode: `auto`, `rich`, `plain` or `off`.
    """

    def __init__(self, mode: str) -> None:
        """Check where it writes."""
        self.console = Console(highlight=False, stderr=True)  # what is printed in the end may be piped on its own
        self.mode = ("rich" if self.console.is_terminal else "plain") if mode == "auto" else mode
        self.live: Live | None = None
        self.began, self.said = time.monotonic(), -PLAIN_EVERY
        self.what = ""

    def __enter__(self) -> Self:
        """Wait for the first word."""
        return self

    def __exit__(self, *error: object) -> None:
        """Remove the changing line."""
        if self.live is not None:
            self.live.stop()
            self.live = None

    def counting(self, what: str, total: int, unit: str = "users") -> Callable[[int], None]:
        """Return a function that takes how many more are done, and shows it."""
        done = 0

        def finished(more: int) -> None:
            nonlocal done
            done += more
            self(what, done, total, unit)

        return finished

    def __call__(self, what: str, done: int | None = None, total: int = 0, unit: str = "users") -> None:
        """Show a policy's episodes, or with `done=None` what takes seconds before them, at once."""
        now = time.monotonic()
        if self.mode == "off" or (done is not None and now - self.began < PATIENCE):
            return
        line = what if done is None else f"{what}: {done:,} of {total:,} {unit}"
        if self.mode == "rich":
            if self.live is None:
                self.live = Live(console=self.console, transient=True, refresh_per_second=4)
                self.live.start()
            self.live.update(Text(line))
        elif what != self.what or now - self.said >= PLAIN_EVERY:
            self.console.print(line, soft_wrap=True, markup=False)
            self.what, self.said = what, now
