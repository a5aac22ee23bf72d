"""Grouping a log by session, whatever order its rows come in, with little memory.

Rows go to disk as they come. A log whose sessions are contiguous is read back in order; any other is split by a hash of
the session, so that each part fits in memory and holds whole sessions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.offline.importing.codes import mixed
from recsys_cli.offline.importing.rows import Rows


class Spill:
    """Rows on disk.

    Attributes:
        rows: number of rows added.
    """

    def __init__(self, folder: Path, rows_in_memory: int) -> None:
        """Take an empty folder.

        Args:
            folder: of temporary files.
            rows_in_memory: about how many rows `groups` yields at once; one session comes whole.
        """
        self.folder, self.limit = folder, rows_in_memory
        self.rows = 0
        self._files: list[Path] = []
        self._starts: list[NDArray[np.uint64]] | None = []  # sessions by run of rows; None: not contiguous

    def add(self, rows: Rows) -> None:
        """Keep rows."""
        if not len(rows["row"]):
            return
        self._files.append(save(self.folder / f"rows-{len(self._files):06d}", rows))
        self.rows += len(rows["row"])
        if self._starts is not None:
            session = rows["session"]
            runs = session[np.append(True, session[1:] != session[:-1])]
            if self._starts and self._starts[-1][-1] == runs[0]:
                runs = runs[1:]
            self._starts = (
                None if len(np.unique(runs)) < len(runs) else [*self._starts, runs] if len(runs) else self._starts
            )

    def _contiguous(self) -> bool:
        if self._starts is None:
            return False
        runs = np.concatenate(self._starts) if self._starts else np.zeros(0, np.uint64)
        return len(np.unique(runs)) == len(runs)

    def groups(self) -> Iterator[Rows]:
        """Yield all rows, whole sessions at a time, and remove them from disk."""
        if self.rows <= self.limit or self._contiguous():
            yield from self._in_order()
        else:
            yield from self._by_hash()

    def _in_order(self) -> Iterator[Rows]:
        held: list[Rows] = []
        size = 0
        for file in self._files:
            held.append(load(file))
            size += len(held[-1]["row"])
            if size >= self.limit and self.rows > self.limit:
                rows = concatenated(held)
                session = rows["session"]
                whole = (
                    len(session) - int((session[::-1] != session[-1]).argmax()) if (session != session[-1]).any() else 0
                )
                if whole:
                    yield {name: values[:whole] for name, values in rows.items()}
                held = [{name: values[whole:] for name, values in rows.items()}]
                size = len(session) - whole
        if size:
            yield concatenated(held)

    def _by_hash(self) -> Iterator[Rows]:
        count = -(-3 * self.rows // (2 * self.limit))  # sessions are not equally long
        parts: list[list[Path]] = [[] for _ in range(count)]
        for number, file in enumerate(self._files):
            rows = load(file)
            part = (mixed(rows["session"]) % np.uint64(count)).astype(np.int64)
            for each in np.unique(part):
                chosen = {name: values[part == each] for name, values in rows.items()}
                parts[each].append(save(self.folder / f"part-{each:04d}-{number:06d}", chosen))
        for files in parts:
            if files:
                yield concatenated([load(file) for file in files])


def save(path: Path, rows: Rows) -> Path:
    """Write columns to a temporary file."""
    with path.open("wb") as out:
        np.savez(out, **rows)  # type: ignore[arg-type]  # a name may be any but `file`
    return path


def load(path: Path, *, keep: bool = False) -> Rows:
    """Read columns back and, unless they are needed again, remove the file."""
    with np.load(path, allow_pickle=False) as file:
        rows = {name: file[name] for name in file.files}
    if not keep:
        path.unlink()
    return rows


def concatenated(parts: Sequence[Rows]) -> Rows:
    """Return rows one after another; lists are widened to the longest."""
    return {name: _joined([part[name] for part in parts]) for name in parts[0]}


def _joined(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    if arrays[0].ndim == 1:
        return np.concatenate(arrays)
    width = max(array.shape[1] for array in arrays)
    return np.concatenate([widened(array, width) for array in arrays])


def widened(array: NDArray[Any], width: int) -> NDArray[Any]:
    """Return lists `[n, width]`, what is behind their end -1 or nan."""
    if array.shape[1] == width:
        return array
    wide = np.full((len(array), width), np.nan if array.dtype.kind == "f" else -1, array.dtype)
    wide[:, : array.shape[1]] = array
    return wide
