"""Segments of the log, read bit by bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from recsys_cli.config.notices import warn
from recsys_cli.serving.log.reading import lines_of
from recsys_cli.serving.log.records import Record, decode


class Tail:
    """A segment from some byte on."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        """Name the segment; it is opened when it is read."""
        self._path, self._lines = path, lines_of(path, offset)
        self._ahead: tuple[int, bytes] | None = None

    def until(self, end: int) -> Iterator[tuple[int, Record]]:
        """Yield the byte where a record ends and the record, for those not yielded yet that end at a byte or before.

        A line that holds no record is left out, with a warning.
        """
        while True:
            if self._ahead is None:
                _, at, line = next(self._lines, ("", -1, b""))
                if at < 0:
                    return
                self._ahead = at, line
            if self._ahead[0] > end:
                return
            (at, line), self._ahead = self._ahead, None
            try:
                yield at, decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                warn(f"{self._path}: damaged lines are left out")
