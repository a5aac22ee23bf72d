"""A thread that brings MLflow up to date, so that neither its import nor its server delays training."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from recsys_cli.tracking.provenance import mask

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0


class Background:
    """Uploads folders as requested; after each failure it waits longer before trying at a later report.

    Args:
        uri: MLflow tracking URI.
        run_dir: the run's folder.
    """

    def __init__(self, uri: str, run_dir: Path) -> None:
        """Prepare; the thread starts with the first report, see `wake`."""
        self._uri = uri
        self._run_dir = run_dir
        self._changed = threading.Condition()
        self._dirty: dict[Path, None] = {}  # an ordered set: parents first
        self._notices: list[str] = []
        self._closing = False
        self._uploading = threading.Lock()
        self._pause = 0.0
        self._away = False
        self._next_try = 0.0
        self._thread = threading.Thread(target=self._run, name="mlflow-upload", daemon=True)

    def wake(self, folder: Path, *, soon: bool = True) -> None:
        """Request a folder's upload: at once, or with `soon=False` at the first report.

        Importing MLflow takes seconds of the interpreter's time. Before the first report the driver needs them itself
        to import Ray and start the trials; afterwards it only waits for its trials.
        """
        with self._changed:
            self._dirty[folder] = None
            self._changed.notify()
        if soon:
            self._start()

    def notices(self) -> list[str]:
        """Return the lines the user should see, each once."""
        with self._changed:
            notices, self._notices = self._notices, []
        return notices

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Keep the thread from uploading; waits for the upload in progress."""
        with self._uploading:
            yield

    def finish(self, timeout: float) -> None:
        """Try once more and wait for it, at most `timeout` seconds."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._start()
        self._thread.join(timeout)

    def _start(self) -> None:
        if self._thread.ident is None:
            self._thread.start()

    def _run(self) -> None:
        from recsys_cli.tracking.mlflow_tracker import MlflowUploader

        uploader = MlflowUploader(self._uri, self._run_dir.parent)
        self._attempt(uploader.connect)  # imports MLflow, migrates its database
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._ready())
                closing = self._closing
                waiting, self._dirty = self._dirty, {}
            for folder in waiting:
                if not self._attempt(partial(uploader.sync, folder)):
                    with self._changed:
                        self._dirty[folder] = None
            if closing:
                return

    def _ready(self) -> bool:
        return bool(self._dirty) and time.monotonic() >= self._next_try

    def _attempt(self, act: Callable[[], None]) -> bool:
        """Run one upload; an MLflow error is reported once, and the upload tried again later."""
        try:
            with self._uploading:
                act()
        except Exception as error:
            self._pause = min(max(2 * self._pause, FIRST_PAUSE), LONGEST_PAUSE)
            self._next_try = time.monotonic() + self._pause
            self._notify_once(away=True, reason=reason(error))
            return False
        self._pause = self._next_try = 0.0
        self._notify_once(away=False)
        return True

    def _notify_once(self, *, away: bool, reason: str = "") -> None:
        with self._changed:
            if away and not self._away:
                self._notices.append(
                    f"MLflow at {mask(self._uri)} is down ({reason}): training continues, all stays in {self._run_dir}"
                )
            elif self._away and not away:
                self._notices.append(f"MLflow at {mask(self._uri)} answers again")
            self._away = away


def reason(error: BaseException) -> str:
    """Return a short form of an error's first line: MLflow's messages are long and repeat their causes."""
    text = mask(str(error)).strip().partition("\n")[0]
    if match := re.search(r"\[Errno \d+\] ([^'\")]+)|timed out", text):
        text = match[1] or match[0]
    return (text[:117] + "...") if len(text) > 120 else text or type(error).__name__
