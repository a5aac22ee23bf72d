"""Which decisions and sessions count at the end of an epoch, with which reward.

Time is the bookkeeping's own clock, which only runs while the service does, and never jumps (see `Bookkeeper`): a row
carries the period in which it was seen, and has waited long enough once enough of that clock went by since that
period's end. Clocks of records only say which of several reports of one decision was the earliest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from math import fsum
from typing import Any

import sqlalchemy as sql
from sqlalchemy import ColumnElement, Connection, Row

from recsys_cli.config.routers import RouterConfig
from recsys_cli.serving.log.records import RewardRecord, decode
from recsys_cli.serving.log.rewards import outcome_of
from recsys_cli.serving.router.folding import Waiting, decode_waiting
from recsys_cli.serving.router.store import activations, decisions, endings, epochs, fact, put_fact, reports, sessions

LATE, ORPHANS, UNACTIVATED, DEFAULTED = "late", "orphans", "unactivated", "defaulted"
COUNTERS = (LATE, ORPHANS, UNACTIVATED, DEFAULTED)


@dataclass(frozen=True)
class Rules:
    """When what counts.

    Attributes:
        router: settings.
        reward: the response's field that is the reward of a click (`ProblemSpec.reward`).
        session_seconds: of silence after which a session is over.
    """

    router: RouterConfig
    reward: str | None
    session_seconds: float


@dataclass(frozen=True)
class Observation:
    """A reward of a policy: that of a decision, or a session's sum."""

    policy: str
    version: str
    reward: float
    user: Sequence[float] | None


@dataclass
class Settled:
    """What counts from now on.

    Attributes:
        observations: in an order that does not depend on the log's.
        decisions: their event ids, and those that never will count.
        counts: of what went amiss, by `COUNTERS`.
    """

    observations: list[Observation] = field(default_factory=list)
    decisions: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))


@dataclass(frozen=True)
class _Decided:
    """A decision that waits; `value` is None while none is known, `ready` says whether it may count as it is."""

    event_id: str
    session: str
    order: tuple[int, int, str]
    waiting: Waiting
    active: bool
    ready: bool
    value: float | None


def settle(connection: Connection, rules: Rules, now: int, clock_ms: int) -> list[Observation]:
    """Return the observations that the period `now` ends with; they are remembered as counted.

    Args:
        connection: within a transaction.
        rules: when what counts.
        now: the period that ends.
        clock_ms: at its end.
    """
    waited = _last_period(connection, now, clock_ms, rules.router.wait_seconds)
    silent = _last_period(connection, now, clock_ms, rules.session_seconds)
    _mark_sessions(connection, now)
    late = _delete_counted(connection, reports)
    over = sql.or_(sessions.c.final, sessions.c.seen <= silent)
    if rules.router.unit == "session":
        which: ColumnElement[bool] = decisions.c.session.in_(sql.select(sessions.c.session).where(over))
        settled = _sessions(_waiting(connection, which, rules, waited), rules.router.default_reward)
    else:
        which = sql.or_(decisions.c.seen <= waited, decisions.c.event_id.in_(sql.select(reports.c.event_id)))
        settled = _single(_waiting(connection, which, rules, waited), rules.router.default_reward)
    if settled.decisions:
        done = sql.update(decisions).where(decisions.c.event_id == sql.bindparam("id")).values(settled=now + 1)
        connection.execute(done, [{"id": event_id} for event_id in settled.decisions])
    kept = _last_period(connection, now, clock_ms, rules.router.wait_seconds + rules.session_seconds)
    orphans = _forget(connection, over, waited, kept)
    for name, count in (settled.counts | {LATE: late, ORPHANS: orphans}).items():
        if count:
            put_fact(connection, name, str(int(fact(connection, name) or 0) + count))
    return settled.observations


def _last_period(connection: Connection, now: int, clock_ms: int, seconds: float) -> int:
    """Return the last period, of those before or at `now`, whose end is at least so long ago; -1 if none is."""
    ends = sql.select(sql.func.max(epochs.c.epoch)).where(epochs.c.clock_ms <= clock_ms - seconds * 1000)
    ended = connection.scalar(ends)
    return -1 if ended is None else ended - 1


def _mark_sessions(connection: Connection, now: int) -> None:
    """Note reports as signs of life of their sessions, and which said that the session is over."""
    reported = sql.select(decisions.c.session).join(reports, reports.c.event_id == decisions.c.event_id)
    alive = sessions.c.session.in_(reported.where(reports.c.seen == now))
    connection.execute(sql.update(sessions).where(alive).values(seen=now))
    ended = sql.select(decisions.c.session).join(endings, endings.c.event_id == decisions.c.event_id)
    over = sessions.c.session.in_(ended.where(decisions.c.settled.is_(None)))
    connection.execute(sql.update(sessions).where(over).values(final=True))


def _waiting(connection: Connection, which: ColumnElement[bool], rules: Rules, waited: int) -> list[_Decided]:
    """Return the decisions that wait, by session and then in their order."""
    open_ones = sql.and_(decisions.c.settled.is_(None), which)
    told = sql.select(reports.c.event_id, reports.c.body).join(decisions, decisions.c.event_id == reports.c.event_id)
    by_event: dict[str, list[RewardRecord]] = defaultdict(list)
    for event_id, body in connection.execute(told.where(open_ones)):
        report = decode(body)
        assert isinstance(report, RewardRecord)
        by_event[event_id].append(report)
    activated = sql.exists().where(activations.c.event_id == decisions.c.event_id)
    columns = sql.select(decisions, sql.or_(decisions.c.active, activated).label("counts"))
    found = [
        _decided(row, by_event[row.event_id], rules, waited) for row in connection.execute(columns.where(open_ones))
    ]
    return sorted(found, key=lambda each: (each.session, each.order))


def _decided(row: Row[Any], found: list[RewardRecord], rules: Rules, waited: int) -> _Decided:
    waiting = decode_waiting(row.body)
    outcome = outcome_of(found, waiting.shown, rules.reward, rules.router.aggregation)
    # A report without an id is the whole reward; of those with one, more may follow.
    whole = rules.router.aggregation == "earliest" or any(each.reward_id is None for each in found)
    ready = row.seen <= waited or (bool(row.counts) and outcome.value is not None and whole)
    order = (waiting.step, row.time_ms, row.event_id)
    return _Decided(row.event_id, row.session, order, waiting, bool(row.counts), ready, outcome.value)


def _single(waiting: Iterable[_Decided], default: float) -> Settled:
    """Settle decisions one by one."""
    settled = Settled()
    for each in waiting:
        if each.ready:
            settled.decisions.append(each.event_id)
            _count(settled, [each], default)
    return settled


def _sessions(waiting: Iterable[_Decided], default: float) -> Settled:
    """Settle the sessions in which no decision waits any more.

    A session belongs to the policy that began it, also if another took over: who is assigned, is judged.
    """
    settled = Settled()
    for _, group in groupby(waiting, key=lambda each: each.session):
        members = list(group)
        if all(each.ready for each in members):
            settled.decisions += [each.event_id for each in members]
            _count(settled, members, default)
    return settled


def _count(settled: Settled, members: list[_Decided], default: float) -> None:
    """Add the observation of decisions that belong together; those never activated are none of it."""
    counting = [each for each in members if each.active]
    settled.counts[UNACTIVATED] += len(members) - len(counting)
    settled.counts[DEFAULTED] += sum(each.value is None for each in counting)
    if counting:
        reward = fsum(default if each.value is None else each.value for each in counting)
        first = counting[0].waiting
        settled.observations.append(Observation(first.policy, first.version, reward, first.user))


def _forget(connection: Connection, over: ColumnElement[bool], waited: int, kept: int) -> int:
    """Delete what has counted or belongs to nothing, closed sessions, and in time the ids of what has counted.

    Returns:
        Reports that belonged to nothing.
    """
    orphans = _delete_unknown(connection, reports, waited)
    for table in (endings, activations):
        _delete_unknown(connection, table, waited)
    for table in (reports, endings, activations):
        _delete_counted(connection, table)
    waiting = sql.exists().where(decisions.c.session == sessions.c.session, decisions.c.settled.is_(None))
    connection.execute(sql.delete(sessions).where(over, ~waiting))
    connection.execute(sql.delete(decisions).where(decisions.c.settled <= kept + 1))
    return orphans


def _delete_counted(connection: Connection, table: sql.Table) -> int:
    counted = sql.exists().where(decisions.c.event_id == table.c.event_id, decisions.c.settled.is_not(None))
    return connection.execute(sql.delete(table).where(counted)).rowcount


def _delete_unknown(connection: Connection, table: sql.Table, waited: int) -> int:
    known = sql.exists().where(decisions.c.event_id == table.c.event_id)
    return connection.execute(sql.delete(table).where(table.c.seen <= waited, ~known)).rowcount
