"""Joining reports to decisions in little memory: everything goes to files by a hash, and each file fits into memory."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple
from zlib import crc32

import msgspec
import numpy as np
from msgspec import Raw, Struct
from numpy.typing import NDArray

from recsys_cli.serving.draws import seeds_of
from recsys_cli.serving.log.records import ActivationRecord, DecisionRecord, RewardRecord, decode

BUCKET_BYTES = 32 << 20  # of a file, about: some 20,000 decisions with 10 candidates
MOST_BUCKETS = 512  # files that are open at once
Hashes = NDArray[np.uint64]
_HEAD = struct.Struct("<qqI")


class Entry(NamedTuple):
    """A line, with the time and the place in the log by which it is sorted."""

    time_ms: int
    place: int
    payload: bytes

    def write(self, file: IO[bytes]) -> None:
        """Add it to a file."""
        file.write(_HEAD.pack(self.time_ms, self.place, len(self.payload)))
        file.write(self.payload)


def entries_of(path: Path) -> Iterator[Entry]:
    """Yield the entries of a file; none if it isn't there."""
    if not path.is_file():
        return
    with path.open("rb", buffering=1 << 18) as file:
        while head := file.read(_HEAD.size):
            time_ms, place, size = _HEAD.unpack(head)
            yield Entry(time_ms, place, file.read(size))


class Buckets:
    """Files of entries, by a hash of their key."""

    def __init__(self, folder: Path, total_bytes: int, bucket_bytes: int = BUCKET_BYTES) -> None:
        """Take a folder, which is made, and about how many bytes will come."""
        folder.mkdir()
        count = min(total_bytes // bucket_bytes + 1, MOST_BUCKETS)
        self._paths = [folder / f"{number:04d}" for number in range(count)]
        self._files = [path.open("wb", buffering=1 << 16) for path in self._paths]
        self.bytes = 0

    def add(self, key: str, entry: Entry) -> None:
        """Keep an entry."""
        entry.write(self._files[crc32(key.encode()) % len(self._files)])
        self.bytes += _HEAD.size + len(entry.payload)

    def __iter__(self) -> Iterator[list[Entry]]:
        """Yield the entries of each file, sorted by time and place, and remove it."""
        for file in self._files:
            file.close()
        for path in self._paths:
            yield sorted(entries_of(path))
            path.unlink()


class Spilled:
    """The records of a log by event, read once.

    Attributes:
        damaged: lines that hold no record, by segment.
        ends: by segment, the byte up to which it was read.
    """

    def __init__(self, buckets: Buckets) -> None:
        """Take empty buckets."""
        self.buckets = buckets
        self.damaged: Counter[str] = Counter()
        self.ends: dict[str, int] = {}
        self._latest: dict[str, int] = {}
        self._place = 0

    def add(self, lines: Iterable[tuple[str, int, bytes]]) -> None:
        """Read lines, in the log's order.

        A process's clock may go back: what it logs then counts as of the latest time that it had logged.
        """
        for name, end, line in lines:
            self.ends[name] = end
            try:
                record = decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                self.damaged[name] += 1
                continue
            if not isinstance(record, DecisionRecord | RewardRecord | ActivationRecord):
                continue
            writer = name.partition("-")[2]
            time_ms = self._latest[writer] = max(record.time_ms, self._latest.get(writer, record.time_ms))
            self._place += 1
            self.buckets.add(record.event_id, Entry(time_ms, self._place, line.rstrip()))

    def carry(self, entries: Iterable[Entry]) -> None:
        """Add what was left by an earlier compaction; to be called first."""
        for entry in entries:
            self._place += 1
            self.buckets.add(_ids(entry.payload).event_id, Entry(entry.time_ms, self._place, entry.payload))


class Joined(Struct, array_like=True, gc=False):
    """A decision and the reports about it; `active` says whether it counts."""

    decision: DecisionRecord
    reports: list[RewardRecord]
    active: bool


class _Decision(Struct, tag_field="kind", tag="decision", gc=False):
    event_id: str
    session: str
    active: bool


class _Reward(Struct, tag_field="kind", tag="reward", gc=False):
    event_id: str


class _Activation(Struct, tag_field="kind", tag="activation", gc=False):
    event_id: str


_ids = msgspec.json.Decoder(_Decision | _Reward | _Activation).decode
_encode = msgspec.json.Encoder().encode
decode_joined = msgspec.json.Decoder(Joined).decode


class Joining:
    """Joins what was spilled by event, and spills it by session.

    Attributes:
        duplicates: decisions whose event id had been seen.
        late: reports and activations of decisions that an earlier compaction has written.
    """

    def __init__(self, written: Hashes, sessions: Buckets, unmatched: Callable[[Entry], None]) -> None:
        """Take what earlier compactions have written, and where things go.

        Args:
            written: hashes of events (`draws.seed_of`).
            sessions: get decisions with their reports.
            unmatched: gets each report and activation that has no decision.
        """
        self.written, self.sessions, self.unmatched = written, sessions, unmatched
        self.duplicates = self.late = 0

    def join(self, entries: list[Entry]) -> None:
        """Join the entries of a bucket."""
        decisions: dict[str, tuple[Entry, _Decision]] = {}
        reports: dict[str, list[Entry]] = {}
        activations: dict[str, list[Entry]] = {}
        for entry in entries:
            record = _ids(entry.payload)
            if not isinstance(record, _Decision):
                kept = reports if isinstance(record, _Reward) else activations
                kept.setdefault(record.event_id, []).append(entry)
            elif record.event_id in decisions:
                self.duplicates += 1
            else:
                decisions[record.event_id] = (entry, record)
        for event_id in self._known({**decisions, **reports, **activations}):
            self.duplicates += decisions.pop(event_id, None) is not None
            self.late += len(reports.pop(event_id, ())) + len(activations.pop(event_id, ()))
        for event_id, (entry, record) in decisions.items():
            about = [Raw(each.payload) for each in reports.pop(event_id, ())]
            active = (activations.pop(event_id, None) is not None) or record.active
            payload = _encode((Raw(entry.payload), about, active))
            self.sessions.add(record.session, Entry(entry.time_ms, entry.place, payload))
        for left in (*reports.values(), *activations.values()):
            for entry in left:
                self.unmatched(entry)

    def _known(self, events: Iterable[str]) -> list[str]:
        """Return those of the events that have been written."""
        if not len(self.written):
            return []
        names = list(events)
        return [names[at] for at in np.flatnonzero(np.isin(seeds_of(names), self.written))]
