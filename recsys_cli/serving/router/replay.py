"""The router's epochs once more, from the log alone: the same states, to the bit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice, takewhile
from pathlib import Path

from sqlalchemy import Connection

from recsys_cli.serving.log.reading import lines_of, segments
from recsys_cli.serving.log.records import EpochRecord, decode
from recsys_cli.serving.router.base import Arm
from recsys_cli.serving.router.epochs import Key, arms_of, end_epoch, kind_of, records
from recsys_cli.serving.router.folding import Kept, fold
from recsys_cli.serving.router.settling import Rules
from recsys_cli.serving.router.store import CLOCK, Store, epochs, put, put_fact
from recsys_cli.serving.router.tails import Tail

BATCH = 5_000
EPOCH = b'{"kind":"epoch"'  # how a line of an epoch begins


@dataclass(frozen=True)
class Replayed:
    """What a replay of epochs found.

    Attributes:
        epochs: those logged, by number.
        computed: their states, computed anew.
        arms: statistics at the end of the last, by policy and version.
    """

    epochs: dict[int, EpochRecord]
    computed: dict[int, dict[str, object]]
    arms: dict[Key, Arm]

    @property
    def different(self) -> list[int]:
        """The epochs that came out otherwise than logged."""
        return [number for number, each in self.epochs.items() if each.state != self.computed.get(number)]


def replay_epochs(log: Path, rules: Rules) -> Replayed:
    """Compute every epoch of a log anew, with the clock and the offsets that it was logged with.

    Args:
        log: the folder of segments, of all machines.
        rules: the settings that the service had.
    """
    store = Store("sqlite://", log.parent.name)
    try:
        with store.transaction(exclusive=True) as connection:
            logged = logged_epochs(log)
            computed = {number: state for number, state in rebuild(connection, log, rules)}
            return Replayed(logged, computed, arms_of(connection, kind_of(rules.router)))
    finally:
        store.close()


def rebuild(connection: Connection, log: Path, rules: Rules) -> Iterator[tuple[int, dict[str, object]]]:
    """Fill an empty database from a log, up to its last epoch's end; yield each epoch's number and state, anew.

    The database has the states that were logged, in case they differ: the settings may have changed.
    """
    tails, every = {path.name: Tail(path) for path in segments(log)}, _every_epoch(log)
    for number, epoch in _without_gap(every).items():
        for name, end in epoch.offsets.items():
            found = tails[name].until(end) if name in tails else iter(())
            while batch := list(islice(found, BATCH)):
                fold(connection, [record for _, record in batch], {}, Kept.by(rules.router))
            fold(connection, [], {name: end}, Kept.by(rules.router))
        end_epoch(connection, rules, epoch.state["clock_ms"], epoch.time_ms)
        yield number, records(connection, epochs.c.epoch == number)[0].state
        _put_as_logged(connection, epoch)
    if every and max(every) not in _without_gap(every):  # the log's beginning was removed: at least numbers go on
        _put_as_logged(connection, every[max(every)])


def _put_as_logged(connection: Connection, epoch: EpochRecord) -> None:
    row = {"epoch": epoch.epoch, "time_ms": epoch.time_ms, "clock_ms": epoch.state["clock_ms"], "logged": True}
    row |= {"state": json.dumps(epoch.state), "offsets": json.dumps(epoch.offsets)}
    put(connection, epochs, [row], ["state", "logged"])
    put_fact(connection, CLOCK, str(epoch.state["clock_ms"]))


def logged_epochs(log: Path) -> dict[int, EpochRecord]:
    """Return the epochs of a log by number, from 1 without a gap; of one logged twice, after a crash, the first."""
    return _without_gap(_every_epoch(log))


def _every_epoch(log: Path) -> dict[int, EpochRecord]:
    found: dict[int, EpochRecord] = {}
    for path in segments(log):
        for _, _, line in lines_of(path, 0):
            if line.startswith(EPOCH):
                record = decode(line)
                assert isinstance(record, EpochRecord)
                found.setdefault(record.epoch, record)
    return found


def _without_gap(found: dict[int, EpochRecord]) -> dict[int, EpochRecord]:
    return {number: found[number] for number in takewhile(found.__contains__, count(1))}
