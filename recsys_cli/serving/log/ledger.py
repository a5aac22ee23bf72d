"""What compactions have written: the log's next one goes on from there, also if this one is killed.

ledger.json            by segment, the byte up to which it went into data sets; the compaction under way
carried-<n>            decisions of sessions that weren't over, and reports about them: they come first in the next one
events-<n>.npz         hashes of events written lately, so that a late retry isn't taken for another decision
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from recsys_cli.config.errors import ConfigError
from recsys_cli.files import read_json, replacing, write_arrays, write_json
from recsys_cli.offline.dataset import MANIFEST

NAME = "ledger.json"
KEPT_MS = 86_400_000  # for which a retry of a decision that was written is recognised


@dataclass
class Ledger:
    """The ledger of a service.

    Attributes:
        folder: its own.
        number: of compactions so far.
        offsets: by segment, the byte up to which it was compacted.
        events: hashes of events written lately (`draws.seed_of`).
        times: theirs, milliseconds.
    """

    folder: Path
    number: int = 0
    offsets: dict[str, int] = field(default_factory=dict)
    events: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    times: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    @classmethod
    def open(cls, folder: Path) -> Ledger:
        """Read it; a compaction that was killed counts if its data set is whole, and else never was.

        Raises:
            ConfigError: it is damaged.
        """
        folder.mkdir(parents=True, exist_ok=True)
        ledger = cls(folder)
        values = read_json(ledger._path, {})
        if (begun := values.get("begun")) is not None:
            if _is_of(Path(begun["data"]), begun):
                values = {"number": begun["number"], "offsets": begun["offsets"]}
            values.pop("begun", None)
            write_json(ledger._path, values)
        ledger.number, ledger.offsets = int(values.get("number", 0)), dict(values.get("offsets", {}))
        ledger._tidy()
        if ledger._events(ledger.number).is_file():
            with np.load(ledger._events(ledger.number)) as file:
                ledger.events, ledger.times = file["hash"], file["time_ms"]
        return ledger

    @property
    def carried(self) -> Path:
        """The entries that come before the log's (see `joining.Entry`); it may not be there."""
        return self._carried(self.number)

    def begin(
        self,
        data: Path,
        offsets: Mapping[str, int],
        carried: Path,
        events: NDArray[np.uint64],
        times: NDArray[np.int64],
        now_ms: int,
    ) -> None:
        """Note what will be, once the data set is whole: to be called just before it gets its name.

        Args:
            data: folder of the data set, whose `about` has `compaction`, this one's number, and `read`, the offsets.
            offsets: by segment, the byte up to which the log was read.
            carried: entries for the next compaction; the file is copied.
            events: hashes of the events written.
            times: theirs.
            now_ms: the time.
        """
        number = self.number + 1
        with replacing(self._carried(number)) as temporary:
            shutil.copyfile(carried, temporary)
        events, times = np.append(self.events, events), np.append(self.times, times)
        lately = times > now_ms - KEPT_MS
        write_arrays(self._events(number), {"hash": events[lately], "time_ms": times[lately]})
        begun = {"number": number, "data": str(data.resolve()), "offsets": dict(offsets)}
        write_json(self._path, {"number": self.number, "offsets": self.offsets, "begun": begun})

    @property
    def _path(self) -> Path:
        return self.folder / NAME

    def _carried(self, number: int) -> Path:
        return self.folder / f"carried-{number:06d}"

    def _events(self, number: int) -> Path:
        return self.folder / f"events-{number:06d}.npz"

    def _tidy(self) -> None:
        """Remove what belongs to other compactions than the last."""
        for path in (*self.folder.glob("carried-*"), *self.folder.glob("events-*.npz")):
            if path not in (self._carried(self.number), self._events(self.number)):
                path.unlink()


def compacted_offsets(folder: Path) -> dict[str, int]:
    """Return what the ledger in a folder says as it is, by segment; those that were removed since are among them."""
    return dict(read_json(folder / NAME, {}).get("offsets", {}))


def _is_of(data: Path, begun: Mapping[str, Any]) -> bool:
    """Whether a data set is the one that a compaction was to write, and whole."""
    try:
        values = yaml.safe_load((data / MANIFEST).read_text(encoding="utf-8"))
        about = values["about"]
        return bool(values["complete"]) and about["compaction"] == begun["number"] and about["read"] == begun["offsets"]
    except FileNotFoundError:
        return False
    except (yaml.YAMLError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{data / MANIFEST} is damaged: {error}") from None
