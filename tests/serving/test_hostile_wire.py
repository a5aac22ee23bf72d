"""Malformed and hostile bytes over a real connection: one line, or an end, in time, and the server lives."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest
from serving.servers import Running
from serving.services import FirstOnes, limits_of

from experiments.hostile.requests import MARK
from experiments.hostile.wire import CLOSED, Seen, Wire, send, wires
from recsys_cli.config.structured import load

MOST_BYTES, SECONDS = 300_000, 0.4
LIMITS = limits_of(f"max_body_bytes={MOST_BYTES}", f"max_seconds={SECONDS}")


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with Running(FirstOnes(load("env", "interest_evolution").spec, LIMITS), LIMITS) as running:
        yield running


def test_hostile_connections(server: Running, caplog: pytest.LogCaptureFixture) -> None:
    cases = list(wires(SECONDS, MOST_BYTES))

    async def together() -> list[Seen]:
        return await asyncio.gather(*(send("127.0.0.1", server.port, wire, patience=4.0) for wire in cases))

    wrong = [text for wire, seen in zip(cases, asyncio.run(together()), strict=True) if (text := fault(wire, seen))]
    assert not wrong
    assert 500 not in server.service.statistics.statuses and not caplog.records


def fault(wire: Wire, seen: Seen) -> str:
    """Return what is wrong with an answer."""
    last, *_, body = [*seen.statuses[-1:], CLOSED, seen.text.rpartition(b"\r\n\r\n")[2]]
    if last not in wire.statuses or (last == CLOSED and not seen.closed):
        return f"{wire.name}: {seen}"[:300]
    if wire.answers is not None and len(seen.statuses) != wire.answers:
        return f"{wire.name}: {seen.statuses}"
    if last >= 400 and body and (list(json.loads(body)) != ["error"] or MARK.encode() in body):
        return f"{wire.name}: {body!r}"
    return ""
