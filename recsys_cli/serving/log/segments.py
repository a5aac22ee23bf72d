"""Writing a log: one append-only file a process, so that writers never wait for each other.

What an accepted record has survived is a setting. `process`: it was handed to the operating system by one write, and
outlives the process, however that dies. `machine`: it is on disk, and outlives a power cut; records share a sync
(group commit: at most 64, or those of 5 ms).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from recsys_cli.files import HOST, hold, sync_path
from recsys_cli.serving.errors import Refused
from recsys_cli.serving.log.records import Record, encode_lines

Durability = Literal["process", "machine"]
SUFFIX = ".jsonl"
MOST_BYTES = 64 << 20  # of a file; the last record may go beyond
GROUP_RECORDS, GROUP_SECONDS = 64, 0.005
RETRY_SECONDS = 1.0  # after a failure, until the disk is tried again


class Segment:
    """This process's part of a log: a file, followed by the next after 64 MB, at midnight (UTC) and after a failure.

    A file's name begins with the time at which it was begun, and sorts after those of earlier files of this process
    whatever the clock does. Its writer holds a lock on it. Its whole lines never change: readers may keep offsets.

    Attributes:
        written: bytes so far, of all files.
    """

    def __init__(self, folder: Path, durability: Durability, most_bytes: int = MOST_BYTES) -> None:
        """Take the log's folder, which is made.

        Args:
            folder: of the log.
            durability: what a record has survived if `append` or `write` returned.
            most_bytes: of a file.

        Raises:
            OSError: the folder cannot be made.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.durability, self._most_bytes, self.written = folder, durability, most_bytes, 0
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._end = self._day = self._stamp = 0
        self._retry_at = 0.0
        self._group = _Group(self._write) if durability == "machine" else None

    async def append(self, *records: Record) -> None:
        """Add records, one after another; returns when they have survived what `durability` says.

        Raises:
            Refused: 503, they aren't in the log as promised. They may be there all the same, as after any answer that
                was lost: retries are recognised by their ids.
        """
        lines = encode_lines(records)
        if self._group is None:
            self._write(lines)
        else:
            await self._group.add(lines, len(records))

    def write(self, *records: Record) -> None:
        """Do the same, for threads without an event loop.

        Raises:
            Refused: see `append`.
        """
        self._write(encode_lines(records))

    def close(self) -> None:
        """Write what still waits, and close the file; nothing may be added after it."""
        if self._group is not None:
            self._group.close()
        with self._lock:
            self._leave()

    def _write(self, lines: bytes) -> None:
        with self._lock:
            if time.monotonic() < self._retry_at:
                raise Refused(503, "the log cannot be written at the moment", RETRY_SECONDS)
            try:
                self._add(lines)
            except OSError as error:
                self._retry_at = time.monotonic() + RETRY_SECONDS
                message = f"the log cannot be written: {os.strerror(error.errno or 0)}"
                raise Refused(503, message, RETRY_SECONDS) from None

    def _add(self, lines: bytes) -> None:
        descriptor, written = self._open(), 0
        try:
            while written < len(lines):
                written += os.write(descriptor, lines[written:] if written else lines)
            if self.durability == "machine":
                os.fdatasync(descriptor)
        except OSError:
            self._recover(descriptor, lines, written)
            raise
        self._end += written
        self.written += written

    def _recover(self, descriptor: int, lines: bytes, written: int) -> None:
        """Cut a torn line off; whole ones stay, since they may have been read already."""
        whole = lines.rfind(b"\n", 0, written) + 1
        try:
            if written > whole:
                os.ftruncate(descriptor, self._end + whole)
            self._end += whole
            if written == len(lines):  # the sync failed, and what is on disk now is unknown
                self._leave()
        except OSError:
            self._leave()

    def _open(self) -> int:
        """Return the file to write to; begin a new one if it is time to."""
        now = time.time()
        day = int(now // 86_400)
        if self._descriptor is not None and self._end < self._most_bytes and day == self._day:
            return self._descriptor
        self._leave()
        self._stamp = max(int(now * 1_000), self._stamp + 1)
        path = self.folder / f"{self._stamp:014d}-{HOST}-{os.getpid()}{SUFFIX}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._descriptor, self._end, self._day = descriptor, 0, day
        hold(descriptor)
        if self.durability == "machine":
            sync_path(self.folder)
        return descriptor

    def _leave(self) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            with contextlib.suppress(OSError):
                os.close(descriptor)


class _Group:
    """Lines that will be written together, in a thread of their own."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._thread = ThreadPoolExecutor(1, "log")
        self._begin()
        self._task: asyncio.Task[None] | None = None

    def _begin(self) -> None:
        self._lines: list[bytes] = []
        self._records = 0
        self._full: asyncio.Event | None = None
        self._done: asyncio.Future[None] | None = None

    async def add(self, lines: bytes, records: int) -> None:
        """Return when they are on disk."""
        if self._done is None or self._full is None:
            self._done, self._full = asyncio.get_running_loop().create_future(), asyncio.Event()
        self._lines.append(lines)
        self._records += records
        if self._records >= GROUP_RECORDS:
            self._full.set()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())
        await asyncio.shield(self._done)  # others wait for it too, if this request is cancelled

    async def _run(self) -> None:
        while self._done is not None and self._full is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._full.wait(), GROUP_SECONDS)
            lines, done = b"".join(self._lines), self._done
            self._begin()
            try:
                await asyncio.get_running_loop().run_in_executor(self._thread, self._write, lines)
            except Exception as error:
                done.set_exception(error)
            else:
                done.set_result(None)

    def close(self) -> None:
        """Write what waits, and end the thread."""
        lines, done = b"".join(self._lines), self._done
        self._begin()
        self._thread.shutdown()
        if done is not None:
            self._write(lines)
            if not done.get_loop().is_closed():
                done.set_result(None)
