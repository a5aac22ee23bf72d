"""The end of an epoch: what has counted goes into the arms, and the arms into the router's next probabilities."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from fractions import Fraction
from math import sqrt
from typing import Any

import numpy as np
import sqlalchemy as sql
from sqlalchemy import Connection

from recsys_cli.config.routers import RouterConfig
from recsys_cli.serving.log.records import EpochRecord
from recsys_cli.serving.router.base import Arm, Router
from recsys_cli.serving.router.build import ROUTERS, build_router
from recsys_cli.serving.router.folding import Kept, decode_waiting, live, period
from recsys_cli.serving.router.settling import Observation, Rules, settle
from recsys_cli.serving.router.store import arms, decisions, epochs, put, segments

AGREEMENT = "agreement"
Key = tuple[str, str]
"""Policy and version."""


def end_epoch(connection: Connection, rules: Rules, clock_ms: int, time_ms: int) -> None:
    """End the open period: the next epoch follows from all that was folded, and from nothing else.

    Args:
        connection: within an exclusive transaction.
        rules: when what counts.
        clock_ms: the bookkeeping's clock.
        time_ms: the computer's.

    Raises:
        ConfigError: settings that do not fit the live policies.
    """
    now, kept = period(connection), Kept.by(rules.router)
    kind = kind_of(rules.router)
    if kept.compared:
        _compare(connection, now)
    _learn(connection, kind, _by_arm(settle(connection, rules, now, clock_ms)))
    versions = live(connection)
    router = build_router(rules.router, list(versions))
    content = _content(connection, router, kind, versions, now) | {"clock_ms": clock_ms}
    content["report"]["at_ms"] = time_ms
    grown = sql.select(segments.c.name, segments.c.offset).where(segments.c.seen == now).order_by(segments.c.name)
    row = {
        "epoch": now + 1,
        "time_ms": time_ms,
        "clock_ms": clock_ms,
        "state": json.dumps(content),
        "offsets": json.dumps({name: offset for name, offset in connection.execute(grown)}),
        "logged": False,
    }
    connection.execute(sql.insert(epochs), row)


def kind_of(config: RouterConfig) -> str:
    """Return which statistics a router learns from."""
    return f"{config.unit}, {ROUTERS[type(config)].evidence}"


def records(connection: Connection, *which: Any) -> list[EpochRecord]:
    """Return epochs as the log has them, in order."""
    return [
        EpochRecord(time_ms=row.time_ms, epoch=row.epoch, state=json.loads(row.state), offsets=json.loads(row.offsets))
        for row in connection.execute(sql.select(epochs).where(*which).order_by(epochs.c.epoch))
    ]


def arms_of(connection: Connection, kind: str) -> dict[Key, Arm]:
    """Return the statistics of one kind."""
    return {
        (row.policy, row.version): _arm(row) for row in connection.execute(sql.select(arms).where(arms.c.kind == kind))
    }


def _content(
    connection: Connection, router: Router[Any], kind: str, versions: dict[str, str], now: int
) -> dict[str, Any]:
    """Return what is written of an epoch, in plain values."""
    known = arms_of(connection, kind)
    current = [known.get(key, Arm()) for key in versions.items()]
    last = next(iter(records(connection, epochs.c.epoch == now)), None)
    same = last is not None and (last.state["router"], last.state["versions"]) == (router.config.name, versions)
    state = router.freeze(current, last.state["state"] if last is not None and same else {})
    report: dict[str, Any] = {
        "unit": router.config.unit,
        "policies": dict(zip(versions, map(_summary, current), strict=True)),
        **router.report(state),
    }
    agreements = arms_of(connection, AGREEMENT)
    if agreements:
        report[AGREEMENT] = {key[0]: _summary(agreements[key]) for key in versions.items() if key in agreements}
    return {
        "router": router.config.name,
        "names": list(versions),
        "versions": versions,
        "state": state,
        "report": report,
    }


def _summary(arm: Arm) -> dict[str, Any]:
    """Return number, mean and, from two observations on, the mean's 95 % interval."""
    half = 1.96 * sqrt(arm.scatter / (arm.count - 1) / arm.count) if arm.count > 1 else None
    ends = {"low": None, "high": None} if half is None else {"low": arm.mean - half, "high": arm.mean + half}
    return {"count": arm.count, "mean": arm.mean, **ends}


def _by_arm(observations: Iterable[Observation]) -> dict[Key, list[Observation]]:
    found: dict[Key, list[Observation]] = defaultdict(list)
    for each in observations:
        found[each.policy, each.version].append(each)
    return found


def _learn(connection: Connection, kind: str, observed: Mapping[Key, list[Observation]]) -> None:
    """Add observations to their arms."""
    known = arms_of(connection, kind)
    rows = []
    for key, found in observed.items():
        users = None if found[0].user is None else np.array([each.user for each in found], np.float64)
        arm = known.get(key, Arm()).plus([each.reward for each in found], users)
        rows.append(
            {
                "kind": kind,
                "policy": key[0],
                "version": key[1],
                "count": arm.count,
                "total": str(arm.total),
                "squares": str(arm.squares),
                "gram": None if arm.gram is None else arm.gram.tobytes(),
                "moment": None if arm.moment is None else arm.moment.tobytes(),
            }
        )
    put(connection, arms, rows, ["count", "total", "squares", "gram", "moment"])


def _compare(connection: Connection, now: int) -> None:
    """Add how likely each policy was to show what was shown in the open period."""
    found: dict[Key, list[Observation]] = defaultdict(list)
    versions = live(connection)
    for (body,) in connection.execute(sql.select(decisions.c.body).where(decisions.c.seen == now)):
        for name, probability in (decode_waiting(body).by_policy or {}).items():
            if probability is not None and name in versions:
                key = name, versions[name]
                found[key].append(Observation(*key, probability, None))
    _learn(connection, AGREEMENT, found)


def _arm(row: Any) -> Arm:
    moment = None if row.moment is None else np.frombuffer(row.moment)
    gram = None if row.gram is None or moment is None else np.frombuffer(row.gram).reshape(len(moment), -1)
    return Arm(row.count, Fraction(row.total), Fraction(row.squares), gram, moment)
