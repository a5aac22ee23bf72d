"""Rows that are refused: counted by reason, and kept in a side file with the reason and where they stand."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

EXAMPLES = 3  # lines named in the report for each reason
SIDE_FILE = "refused-00000.jsonl"


class Reasons:
    """Numbers for reasons; 0 is none."""

    def __init__(self) -> None:
        """Start with no reason."""
        self.texts = [""]

    def code(self, text: str) -> int:
        """Return a reason's number."""
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text)


class Refusals:
    """Writes the side file and counts.

    Attributes:
        counts: rows by reason.
        examples: the first places of each reason, `file:line`.
    """

    def __init__(self, folder: Path, files: Sequence[Path], reasons: Reasons) -> None:
        """Refuse nothing yet; the side file is made with its first row."""
        self.path, self.files, self.reasons = folder / SIDE_FILE, [str(file) for file in files], reasons
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}
        self._out: IO[str] | None = None

    def add(self, reason: NDArray[Any], file: NDArray[Any], line: NDArray[Any]) -> None:
        """Keep rows with their reasons' numbers; those with reason 0 are left out."""
        for at in np.flatnonzero(reason):
            self.one(self.reasons.texts[reason[at]], int(file[at]), int(line[at]))

    def one(self, reason: str, file: int, line: int) -> None:
        """Keep one row."""
        if self._out is None:
            self._out = self.path.open("w", encoding="utf-8")
        self._out.write(json.dumps({"reason": reason, "file": self.files[file], "line": line}) + "\n")
        self.counts[reason] += 1
        places = self.examples.setdefault(reason, [])
        if len(places) < EXAMPLES:
            places.append(f"{Path(self.files[file]).name}:{line}")

    def close(self) -> None:
        """End the side file."""
        if self._out is not None:
            self._out.close()

    @property
    def total(self) -> int:
        """Rows refused."""
        return self.counts.total()
