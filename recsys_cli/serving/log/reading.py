"""Reading a log, also one that is being written: by segment's name, then from start to end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from recsys_cli.config.notices import warn
from recsys_cli.serving.log.records import DecisionRecord, Record, decode
from recsys_cli.serving.log.segments import SUFFIX

RECENT_BYTES = 8 << 20


def segments(folder: Path) -> list[Path]:
    """Return a log's files, in order of their names, which is about that of time."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def read_lines(folder: Path, offsets: Mapping[str, int]) -> Iterator[tuple[str, int, bytes]]:
    """Yield a log's whole lines in constant memory: the segment's name, the byte where the line ends, the line.

    Args:
        folder: of the log.
        offsets: by segment, the byte from which to read, as yielded before; others are read whole.
    """
    for path in segments(folder):
        yield from lines_of(path, offsets.get(path.name, 0))


def lines_of(path: Path, offset: int) -> Iterator[tuple[str, int, bytes]]:
    """Yield the same of one file, from a byte on; none if it isn't there."""
    try:
        file = path.open("rb", buffering=1 << 18)
    except FileNotFoundError:  # compacted since
        return
    with file:
        end = file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):  # torn, or not written to its end yet
                return
            end += len(line)
            yield path.name, end, line


def read_from(
    folder: Path, offsets: Mapping[str, int], damaged: Counter[str] | None = None
) -> Iterator[tuple[str, int, Record]]:
    """Yield a log's records: the segment's name, the byte where the record ends, the record.

    A torn last line isn't consumed. A line that holds no record is left out, with one warning for each segment.

    Args:
        folder: of the log.
        offsets: by segment, the byte from which to read, as yielded before; others are read whole.
        damaged: gets the number of lines left out, by segment.
    """
    damaged = Counter() if damaged is None else damaged
    try:
        for name, end, line in read_lines(folder, offsets):
            try:
                record = decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                damaged[name] += 1
                continue
            yield name, end, record
    finally:
        for name, count in damaged.items():
            warn(f"{folder / name}: {count:,} damaged line{'s' * (count > 1)} left out")


def recent_decisions(folder: Path, since_ms: int, most_bytes: int = RECENT_BYTES) -> Iterator[DecisionRecord]:
    """Yield a log's last decisions, from a time on, of at most the last bytes of each file.

    Args:
        folder: of the log.
        since_ms: milliseconds since 1970.
        most_bytes: of a file.
    """
    for path in segments(folder):
        status = path.stat()
        if status.st_mtime_ns // 1_000_000 < since_ms:
            continue
        for _, _, line in lines_of(path, max(status.st_size - most_bytes, 0)):
            with suppress(msgspec.DecodeError, UnicodeDecodeError):  # the first may have lost its head
                record = decode(line)
                if isinstance(record, DecisionRecord) and record.time_ms >= since_ms:
                    yield record
