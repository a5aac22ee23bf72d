"""The router's epochs once more, from the log alone: the same states, to the bit."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import sqlalchemy as sql
from sqlalchemy import Connection

from recsys_cli.serving.log.reading import read_from
from recsys_cli.serving.log.records import EpochRecord, Record
from recsys_cli.serving.router.base import Arm
from recsys_cli.serving.router.epochs import Key, arms_of, end_epoch, records
from recsys_cli.serving.router.folding import Kept, fold
from recsys_cli.serving.router.settling import Rules
from recsys_cli.serving.router.store import Store, epochs, put_fact

BATCH = 5_000


@dataclass(frozen=True)
class Replayed:
    """What a replay of epochs found.

    Attributes:
        states: by epoch, the router's as `EpochRecord.state` has it, computed anew.
        different: the epochs whose state is not the one logged.
        arms: statistics at the last epoch's end, by policy and version.
    """

    states: dict[int, dict[str, object]]
    different: list[int]
    arms: dict[Key, Arm]


def replay_epochs(log: Path, rules: Rules) -> Replayed:
    """Compute every epoch of a log anew, with the clock and the offsets that it was logged with.

    Args:
        log: the folder of segments, of all machines.
        rules: the settings that the service had.
    """
    store = Store("sqlite://", log.parent.name)
    try:
        with store.transaction(exclusive=True) as connection:
            logged = rebuild(connection, log, rules)
            states = {each.epoch: each.state for each in records(connection)}
            kinds = arms_of(connection, arm_kind(rules.router))
        different = [each.epoch for each in logged if states[each.epoch] != each.state]
        return Replayed(states, different, kinds)
    finally:
        store.close()
