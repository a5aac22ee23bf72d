"""Signals: the first lets the trials report, checkpoint and stop, the second ends the command at once."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recsys_cli.runs.stopping import OnRequest

GRACE_S = 20  # of the 30 s that SLURM leaves by default
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Lost(RuntimeError):
    """What trains has ended, and nobody asked it to."""


class _Stopping:
    """The handler of signals while a run lasts, and what watches its deadline."""

    def __init__(self, stopper: OnRequest, say: Callable[[str], None], gone: Callable[[], bool]) -> None:
        self.stopper, self.say, self.gone = stopper, say, gone
        self.deadline = float("inf")
        self.lost = False
        self.done = threading.Event()

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Request a stop; at the second time end the block."""
        if self.stopper.requested:
            raise KeyboardInterrupt
        self.stopper.requested = True
        if number == signal.SIGINT:
            self.say("stopping after the next report; press Ctrl-C again to stop at once")
        else:
            self.deadline = time.monotonic() + GRACE_S
            self.say(f"stopping after the next report, or in {GRACE_S} s")

    def watch(self) -> None:
        """End the block, by a signal of our own, if nothing can end it any more, or not in time."""
        while not self.done.wait(0.5):
            if self.gone() or time.monotonic() > self.deadline:
                self.lost = not self.stopper.requested
                self.stopper.requested = True
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                return


@contextmanager
def stop_on_signal(
    stopper: OnRequest, say: Callable[[str], None], gone: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    """Turn the first SIGINT, SIGTERM or SIGHUP into a request to stop, the second into `KeyboardInterrupt`.

    The same exception ends the block `GRACE_S` after a SIGTERM or SIGHUP, whose sender will not wait for long, and as
    soon as what trains is gone.

    Args:
        stopper: gets the request.
        say: shows it.
        gone: whether the processes that train have ended.

    Raises:
        Lost: they have, and nobody asked for it.
    """
    stopping = _Stopping(stopper, say, gone)
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # as `nohup` does it
            signal.signal(number, stopping.handle)
    watcher = threading.Thread(target=stopping.watch, daemon=True)
    watcher.start()
    try:
        yield
    except KeyboardInterrupt:
        if stopping.lost:
            raise Lost from None
        raise
    finally:
        stopping.done.set()
        watcher.join()
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C raise `KeyboardInterrupt` in this block, even in a command that it would otherwise end at once."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
