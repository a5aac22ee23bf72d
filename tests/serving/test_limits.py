"""Bodies are read no further than they may be, and a process takes no more on than it may."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest
from serving.asgi import Answer, exchange, scope_of
from serving.bodies import rank_body
from serving.services import FirstOnes, limits_of
from starlette.types import ASGIApp, Message

from recsys_cli.config.structured import load
from recsys_cli.serving.errors import Refused
from recsys_cli.serving.http.app import make_api
from recsys_cli.serving.http.limits import BODIES_AT_ONCE, MAX_HEADERS, Load, headers_of

SPEC = load("env", "interest_evolution").spec
MOST = 100_000
KIND = [(b"content-type", b"application/json")]
BODY = json.dumps(rank_body()).encode()


def test_a_body_without_end_is_read_up_to_the_limit() -> None:
    limits, read = limits_of(f"max_body_bytes={MOST}"), 0
    app, sent = make_api(FirstOnes(SPEC, limits), limits, None), list[Message]()

    async def receive() -> Message:
        nonlocal read
        read += 1000
        return {"type": "http.request", "body": b" " * 1000, "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app(scope_of("POST", "/v1/rank", KIND), receive, send))
    assert sent[0]["status"] == 413 and read == MOST + 1000


def test_a_body_that_is_announced_too_long_is_not_read_at_all() -> None:
    limits = limits_of(f"max_body_bytes={MOST}")
    app = make_api(FirstOnes(SPEC, limits), limits, None)
    scope = scope_of("POST", "/v1/rank", [*KIND, (b"content-length", b"100001")])
    parts = [BODY]
    assert asyncio.run(exchange(app, scope, parts)).status == 413


def test_many_large_bodies_at_once_do_not_fill_the_memory() -> None:
    limits = limits_of(f"max_body_bytes={MOST}", "max_seconds=0.3")
    service = FirstOnes(SPEC, limits)
    app = make_api(service, limits, None)

    async def run() -> list[Answer]:
        return await asyncio.gather(*(stalled(app, MOST - 1) for _ in range(BODIES_AT_ONCE + 3)))

    statuses = sorted(answer.status for answer in asyncio.run(run()))
    assert statuses == [408] * BODIES_AT_ONCE + [503] * 3
    assert asyncio.run(exchange(app, scope_of("POST", "/v1/rank", KIND), [BODY[:50], BODY[50:]])).status == 200


async def stalled(app: ASGIApp, size: int) -> Answer:
    """Send so many bytes of a body, and then nothing."""
    sent, parts = list[Message](), [b" " * size]

    async def receive() -> Message:
        if not parts:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": parts.pop(), "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope_of("POST", "/v1/rank", KIND), receive, send)
    return Answer(sent[0]["status"], {}, sent[1]["body"])


def test_a_client_that_leaves_gets_no_answer_and_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    limits = limits_of()
    service, sent = FirstOnes(SPEC, limits), list[Message]()
    messages = [{"type": "http.request", "body": BODY[:50], "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(make_api(service, limits, None)(scope_of("POST", "/v1/rank", KIND), receive, send))
    assert not sent and not caplog.records and not service.statistics.statuses


def test_of_requests_at_once_those_beyond_the_limit_are_turned_away() -> None:
    limits = limits_of("max_queued=4")
    service = FirstOnes(SPEC, limits, seconds=0.1)
    app = make_api(service, limits, None)

    async def run(count: int) -> list[Answer]:
        asked = (exchange(app, scope_of("POST", "/v1/rank", KIND), [BODY]) for _ in range(count))
        health = exchange(app, scope_of("GET", "/metrics"), [b""])
        return await asyncio.gather(*asked, health)

    *answers, metrics = asyncio.run(run(10))
    assert [answer.status for answer in answers] == [200] * 4 + [503] * 6 and metrics.status == 200
    assert all(answer.headers["retry-after"] == "1" for answer in answers[4:])
    assert [answer.status for answer in asyncio.run(run(4))] == [200] * 5


def test_a_failed_answer_makes_room() -> None:
    load = Load(limits_of("max_queued=1"))
    with contextlib.suppress(ZeroDivisionError), load.answering():
        assert load.waiting == 1
        with pytest.raises(Refused):
            load.check()
        raise ZeroDivisionError
    assert load.waiting == 0


def test_headers_are_counted_and_measured() -> None:
    few = [(b"x-%d" % i, b"v") for i in range(MAX_HEADERS)]
    assert headers_of(few)[b"x-7"] == b"v"
    for wrong in ([*few, (b"y", b"v")], [(b"x", b"v" * 16_384)], [(b"n" * 16_385, b"")]):
        with pytest.raises(Refused, match="headers"):
            headers_of(wrong)
