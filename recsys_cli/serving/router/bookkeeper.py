"""The bookkeeper of a service: reads its log, joins rewards to decisions, and ends the router's epochs.

One for each machine. Decisions go on without it, and without its database, with the last probabilities; it catches up
afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path

import sqlalchemy as sql
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, TimeoutError

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.notices import warn
from recsys_cli.files import locked, read_if_sound, update_json, write_json
from recsys_cli.serving.errors import Refused
from recsys_cli.serving.folder import ServiceFolder
from recsys_cli.serving.log.reading import segments
from recsys_cli.serving.log.records import EpochRecord
from recsys_cli.serving.log.segments import Durability, Segment
from recsys_cli.serving.router.base import Arm
from recsys_cli.serving.router.epochs import Key, arms_of, end_epoch, kind_of, records
from recsys_cli.serving.router.folding import Kept, fold, live, offsets, period
from recsys_cli.serving.router.replay import rebuild
from recsys_cli.serving.router.settling import COUNTERS, Rules
from recsys_cli.serving.router.store import CLOCK, Store, epochs, fact, put, put_fact, switches, url_of
from recsys_cli.serving.router.tails import Tail
from recsys_cli.serving.router.view import BOOKKEEPING, SWITCHES

MOST_RECORDS = 5_000  # of a transaction
SAY_SECONDS = 1.0  # between notes of how far it is


class Bookkeeper:
    """Folds the log of a service into its database, again and again.

    Its clock, by which rewards are waited for, sessions are silent and epochs end, is kept in the database. It runs
    while the bookkeeper does, by the monotonic clock, and only up to a moment before which everything was folded. So
    a computer's clock that jumps changes nothing, hours in which the service was down do not count, and after hours
    in which the database was, every reward that was accepted is joined before anything counts with the default.

    Attributes:
        problem: why it is behind, in one line; None if it is not.
    """

    def __init__(
        self,
        folder: ServiceFolder,
        rules: Rules,
        durability: Durability = "process",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take a service's folder; nothing is opened yet.

        Args:
            folder: of the service.
            rules: when what counts.
            durability: of the epochs that it logs.
            clock: seconds, monotonic.

        Raises:
            ConfigError: `router.state` names no database.
        """
        self._folder, self._rules, self._clock = folder, rules, clock
        self._kept = Kept.by(rules.router)
        self._store = Store(url_of(rules.router.state, folder.state), folder.path.name)
        self._segment = Segment(folder.log, durability)
        self._held = ExitStack()
        self._holds = self._known = False
        self._mark: float | None = None  # the monotonic time up to which the clock has run
        self._published, self._stale = 0, True  # whether there may be a newer epoch than the published one
        self._done: dict[str, int] = {}
        self._counters: dict[str, int] = {}
        self._caught_up_ms = 0
        self._say_at = 0.0
        self._said: str | None = ""
        self.problem: str | None = None

    def step(self) -> None:
        """Do what is due: fold, end the epoch, publish it. A failure is noted, and the next step tries again."""
        try:
            if self._hold():
                self._step()
            self.problem = None
        except (DBAPIError, TimeoutError, OSError, ConfigError, Refused) as error:
            text = error.orig if isinstance(error, DBAPIError) else error
            self._fail(" ".join(str(text).split())[:300])
        self._say()

    def arms(self) -> dict[Key, Arm]:
        """Return the statistics that the router learns from, by policy and version."""
        with self._store.transaction() as connection:
            return arms_of(connection, kind_of(self._rules.router))

    def close(self) -> None:
        """Let go of everything."""
        self._held.close()
        self._holds = False
        self._store.close()
        self._segment.close()

    def _hold(self) -> bool:
        """Return whether this is the machine's one bookkeeper of the service."""
        if not self._holds:
            self._holds = self._held.enter_context(locked(self._folder.path / "bookkeeper.lock", wait=False))
            if not self._holds:
                self._held.close()
        return self._holds

    def _step(self) -> None:
        leads = self._store.leads()
        if not self._known:
            self._recover(leads)
        # What is logged from here on waits for the next step.
        until, until_ms, sizes = self._clock(), int(time.time() * 1000), _sizes(self._folder.log)
        self._fold(sizes)
        if leads:
            self._advance(until)
        else:  # another machine's may have ended the epoch
            self._mark, self._stale = None, True
        if self._stale:
            if leads:
                self._log_epochs()
            self._publish()
            self._stale = False
        self._caught_up_ms = until_ms

    def _recover(self, leads: bool) -> None:
        """Rebuild what a lost database held, from the log."""
        with self._store.transaction(exclusive=True) as connection:
            if leads and not period(connection) and not offsets(connection):
                for _ in rebuild(connection, self._folder.log, self._rules):
                    self._say()
        self._known = True

    def _fold(self, sizes: Mapping[Path, int]) -> None:
        with self._store.transaction() as connection:
            self._done = offsets(connection)
            exchange(connection, self._folder.path / SWITCHES)
        for path, size in sizes.items():
            found = Tail(path, self._done.get(path.name, 0)).until(size)
            while batch := list(islice(found, MOST_RECORDS)):
                with self._store.transaction() as connection:
                    fold(connection, [record for _, record in batch], {path.name: batch[-1][0]}, self._kept)
                self._done[path.name] = batch[-1][0]
                self._say()

    def _advance(self, until: float) -> None:
        """Let the clock run, and end the epoch if it is time to."""
        if self._mark is None:
            self._mark = until
        period_ms = self._rules.router.epoch_seconds * 1000
        passed = int((until - self._mark) * 1000)
        if passed < min(1000.0, period_ms / 4):  # every step need not write
            return
        with self._store.transaction(exclusive=True) as connection:
            clock = int(fact(connection, CLOCK) or 0) + passed
            ended = connection.scalar(sql.select(sql.func.max(epochs.c.clock_ms))) or 0
            put_fact(connection, CLOCK, str(clock))
            if clock - ended >= period_ms and live(connection):
                self._stale = True
                end_epoch(connection, self._rules, clock, int(time.time() * 1000))
        self._mark += passed / 1000

    def _log_epochs(self) -> None:
        """Log the epochs that are not in the log yet; replicas learn of them only after that."""
        with self._store.transaction() as connection:
            missing = records(connection, ~epochs.c.logged)
        for each in missing:
            self._segment.write(each)
            with self._store.transaction() as connection:
                connection.execute(sql.update(epochs).where(epochs.c.epoch == each.epoch).values(logged=True))

    def _publish(self) -> None:
        """Write the newest epoch for the replicas of this machine."""
        with self._store.transaction() as connection:
            newest = connection.scalar(sql.select(sql.func.max(epochs.c.epoch)).where(epochs.c.logged))
            if newest in (None, self._published):
                return
            content = published(records(connection, epochs.c.epoch == newest)[0])
            self._counters = {name: int(fact(connection, name) or 0) for name in COUNTERS}
        if read_if_sound(self._folder.router) != content:
            write_json(self._folder.router, content)
        self._published = newest

    def _fail(self, problem: str) -> None:
        if self.problem is None:
            warn(f"the router learns nothing at the moment: {problem}")
        self.problem = problem

    def _say(self) -> None:
        """Note for the replicas how far it is, at most once in a while."""
        now = self._clock()
        if not self._holds or (now < self._say_at and self.problem == self._said):
            return
        sizes = _sizes(self._folder.log)
        note = {
            "caught_up_ms": self._caught_up_ms,
            "lag_bytes": sum(size - self._done.get(path.name, 0) for path, size in sizes.items()),
            "problem": self.problem,
            **self._counters,
        }
        with suppress(OSError):  # a full disk
            write_json(self._folder.path / BOOKKEEPING, note)
            self._say_at, self._said = now + SAY_SECONDS, self.problem


def _sizes(log: Path) -> dict[Path, int]:
    """Return the size of each segment."""
    found = {}
    for path in segments(log):
        with suppress(FileNotFoundError):  # compacted since
            found[path] = path.stat().st_size
    return found


def published(epoch: EpochRecord) -> dict[str, object]:
    """Return the content of `router.json`."""
    return {"epoch": epoch.epoch, **epoch.state}


def exchange(connection: Connection, path: Path) -> None:
    """Make this machine's switches and those of the others the same; the latest change of each wins."""
    here = read_if_sound(path)
    there = {row.name: [row.on, row.changed_ms] for row in connection.execute(sql.select(switches))}
    new = {name: value for name, value in here.items() if value[1] > there.get(name, [False, 0])[1]}
    put(
        connection,
        switches,
        [{"name": name, "on": on, "changed_ms": changed_ms} for name, (on, changed_ms) in new.items()],
        ["on", "changed_ms"],
    )
    newer = {name: value for name, value in there.items() if value[1] > here.get(name, [False, 0])[1]}
    if newer:
        update_json(path, lambda values: values.update(newer))
