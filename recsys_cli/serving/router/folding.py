"""Records of the log into the database, in any order of segments, each once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sql
from msgspec import Struct, msgpack
from sqlalchemy import Connection

from recsys_cli.config.routers import RouterConfig
from recsys_cli.serving.log.records import (
    ActivationRecord,
    DecisionRecord,
    PoliciesRecord,
    Record,
    RewardRecord,
    encode_lines,
)
from recsys_cli.serving.log.rewards import says_something
from recsys_cli.serving.router.build import ROUTERS
from recsys_cli.serving.router.store import (
    activations,
    decisions,
    endings,
    epochs,
    fact,
    put,
    put_fact,
    reports,
    segments,
    sessions,
)

LIVE = "live"


@dataclass(frozen=True)
class Kept:
    """What a router needs of decisions, beside rewards.

    Attributes:
        by_user: the user's features.
        compared: the probability of the slate under every policy.
    """

    by_user: bool
    compared: bool

    @classmethod
    def by(cls, config: RouterConfig) -> Kept:
        """Return what the router of some settings needs."""
        router = ROUTERS[type(config)]
        return cls(router.by_user, router.mode in ("shadow", "apprentice"))


class Waiting(Struct, array_like=True):
    """What of a decision is needed once it counts.

    Attributes:
        step: number within the session.
        policy: that decided.
        version: of the policy.
        shown: ids of the slate.
        user: features `[U]`, if the router looks at them.
        by_policy: probability of the slate under each policy, if they are compared with who decided.
    """

    step: int
    policy: str
    version: str
    shown: list[str]
    user: Sequence[float] | None
    by_policy: Mapping[str, float | None] | None


decode_waiting = msgpack.Decoder(Waiting).decode
"""Returns the `Waiting` of a decision's body."""


def period(connection: Connection) -> int:
    """Return the number of the period that is open: that of the last epoch that ended, 0 before the first."""
    return connection.scalar(sql.select(sql.func.max(epochs.c.epoch))) or 0


def offsets(connection: Connection) -> dict[str, int]:
    """Return the byte up to which each segment was folded."""
    return {name: offset for name, offset in connection.execute(sql.select(segments.c.name, segments.c.offset))}


def fold(connection: Connection, records: Sequence[Record], ends: Mapping[str, int], kept: Kept) -> None:
    """Add records, of which the database must know none; those of epochs are passed over.

    Args:
        connection: within a transaction.
        records: of the log.
        ends: by segment, the byte up to which they are now folded.
        kept: what the router needs of decisions.
    """
    now = period(connection)
    _add_decisions(connection, [each for each in records if isinstance(each, DecisionRecord)], now, kept)
    _add_reports(connection, [each for each in records if isinstance(each, RewardRecord)], now)
    active = [each.event_id for each in records if isinstance(each, ActivationRecord)]
    put(connection, activations, [{"event_id": event_id, "seen": now} for event_id in active])
    _add_live(connection, (each for each in records if isinstance(each, PoliciesRecord)), now)
    rows = [{"name": name, "offset": end, "seen": now} for name, end in ends.items()]
    put(connection, segments, rows, ["offset", "seen"])


def _add_decisions(connection: Connection, found: Sequence[DecisionRecord], now: int, kept: Kept) -> None:
    """Add decisions; of the same event the earliest stays."""
    rows = [
        {
            "event_id": each.event_id,
            "session": each.session,
            "time_ms": each.time_ms,
            "body": msgpack.encode(
                Waiting(
                    each.step,
                    each.policy,
                    each.version,
                    [each.ids[position] for position in each.slate],
                    each.user if kept.by_user else None,
                    each.by_policy if kept.compared else None,
                )
            ),
            "active": each.active,
            "seen": now,
            "settled": None,
        }
        for each in found
    ]
    put(connection, decisions, rows, ["session", "time_ms", "body", "active"], ["time_ms", "session", "body"])
    alive = [{"session": session, "seen": now, "final": False} for session in {each.session for each in found}]
    put(connection, sessions, alive, ["seen"])


def _add_reports(connection: Connection, found: Sequence[RewardRecord], now: int) -> None:
    """Add reports; of the same reward id the earliest stays, as in `log.rewards.distinct`. Any may end the session."""
    rows = [
        {
            "event_id": each.event_id,
            "reward_id": each.reward_id or "",
            "time_ms": each.time_ms,
            "body": encode_lines([each]),
            "seen": now,
        }
        for each in found
        if says_something(each)
    ]
    put(connection, reports, rows, ["time_ms", "body"], ["time_ms", "body"])
    put(connection, endings, [{"event_id": each.event_id, "seen": now} for each in found if each.final])


def _add_live(connection: Connection, found: Iterable[PoliciesRecord], now: int) -> None:
    """Keep the latest record of which policies are live; periods go before clocks, which may jump."""
    known = json.loads(fact(connection, LIVE) or "[-1, 0, {}]")
    newest = max(
        [known, *([now, each.time_ms, {n: v for n, (v, _) in each.policies.items()}] for each in found)], key=_age
    )
    if newest != known:
        put_fact(connection, LIVE, json.dumps(newest))


def _age(live: list[object]) -> tuple[object, object, str]:
    return live[0], live[1], json.dumps(live[2])


def live(connection: Connection) -> dict[str, str]:
    """Return the versions of the live policies by name, the control's first."""
    versions: dict[str, str] = json.loads(fact(connection, LIVE) or "[-1, 0, {}]")[2]
    return versions
