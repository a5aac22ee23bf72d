"""Malformed and hostile requests to a service of interest evolution with slates of two, and what each must be answered.

Every one carries `MARK` where it can: no answer may repeat what was sent.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

MARK = "Echo-Me-7"
TOPICS, SLATE = 20, 2
KIND = (("content-type", "application/json"),)

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Request:
    """A request that is well-formed HTTP.

    Attributes:
        name: what is wrong with it.
        body: of it; None: none.
        status: that it must be answered with.
        method: of HTTP.
        path: of it.
        headers: beside the host and the body's length.
    """

    name: str
    body: bytes | None
    status: int
    method: str = "POST"
    path: str = "/v1/rank"
    headers: Headers = KIND

    @property
    def wire(self) -> bytes:
        """The bytes that go over the wire."""
        length = () if self.body is None else (("content-length", str(len(self.body))),)
        lines = [f"{self.method} {self.path} HTTP/1.1", "host: localhost"]
        lines += [f"{name}: {value}" for name, value in (*length, *self.headers)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + (self.body or b"")


def sound(candidates: int = 3, **changes: Any) -> dict[str, Any]:
    """Return a body that is answered."""
    documents = [{"id": f"{MARK}-{i}", "features": np.eye(TOPICS)[i % TOPICS].tolist()} for i in range(candidates)]
    return {"user": [0.5] * TOPICS, "candidates": documents, **changes}


def _one(field: str, value: Any) -> bytes:
    """Return a body one of whose candidates has another value."""
    body = sound()
    body["candidates"][1][field] = value
    return json.dumps(body).encode()


def _features(*changed: tuple[int, Any]) -> bytes:
    row = [0.0] * TOPICS
    for position, value in changed:
        row[position] = value
    return _one("features", row)


def _raw(number: str) -> bytes:
    """Return a body with a number that Python would not write."""
    return json.dumps(sound()).replace("0.5", number, 1).encode()


def _with(**changes: Any) -> bytes:
    return json.dumps(sound() | changes).encode()


def _packed(rows: np.ndarray[Any, Any] | bytes, ids: int = 3) -> bytes:
    content = rows if isinstance(rows, bytes) else base64.b64encode(rows.astype("<f4").tobytes())
    names = [f"{MARK}-{i}" for i in range(ids)]
    return _with(candidates={"ids": names, "features_b64": content.decode("latin-1")})


def _many(*requests: dict[str, Any]) -> bytes:
    return json.dumps({"requests": requests}).encode()


def _response(**changes: Any) -> dict[str, Any]:
    none = {name: [0.0] * SLATE for name in ("click", "watch_time", "liked", "quality", "cluster_id")}
    return {"response": none | changes}


def malformed() -> Iterator[Request]:
    """Yield bodies that are not JSON, or not of the type."""
    good, deep = json.dumps(sound()).encode(), b"[" * 200_000
    for name, body in {
        "empty body": b"",
        "open brace": b"{",
        "cut in the middle": good[: len(good) // 2],
        "garbage after the end": good + MARK.encode(),
        "byte order mark": b"\xef\xbb\xbf" + good,
        "UTF-16": good.decode().encode("utf-16"),
        "bytes that are not UTF-8": good.replace(MARK.encode(), b"\xff\xfe", 1),
        "lone surrogate in an id": good.replace(MARK.encode(), rb"\ud800", 1),
        "lone surrogate in a name": b'{"\\udfff":1}',
        "raw control character": good.replace(MARK.encode(), b"\x00", 1),
        "NaN": _raw("NaN"),
        "Infinity": _raw("-Infinity"),
        "leading zeros": _raw("007"),
        "hexadecimal": _raw("0x7f"),
        "single quotes": good.replace(b'"', b"'"),
        "comment": b"/* " + MARK.encode() + b" */" + good,
    }.items():
        yield Request(name, body, 400)
    for name, body in {
        "null": b"null",
        "a list": b"[]",
        "a number of 5,000 digits": _raw("9" * 5000),
        "1e400": _raw("1e400"),
        "200,000 open brackets": b'{"user":' + deep,
        "200,000 open brackets in an unknown field": b'{"' + MARK.encode() + b'":' + deep,
        "200,000 objects": b'{"response":' + b'{"click":' * 200_000,
        "unknown field": _with(**{MARK: 1}),
        "unknown field named like a path": _with(**{f"x - at `$.{MARK}": 1}),
        "unknown field of a candidate": _one(MARK, 1),
        "number as text": _features((0, MARK)),
        "boolean as number": _features((0, True)),
        "null as number": _features((0, None)),
        "number as id": _one("id", 7),
        "number as boolean": _with(defer_activation=1),
        "user as an object": _with(user={MARK: 1}),
        "candidates as text": _with(candidates=MARK),
        "no candidates at all": json.dumps({"user": [0.5] * TOPICS}).encode(),
        "requests in requests": _many({"requests": [sound()]}),
        "requests beside candidates": _with(requests=[sound()]),
    }.items():
        yield Request(name, body, 422)


def wrong_values() -> Iterator[Request]:
    """Yield bodies of the right type with values that cannot be."""
    eye = np.eye(TOPICS)[:3]
    for name, body in {
        "no candidates": _with(candidates=[]),
        "too many candidates": json.dumps(sound(1001)).encode(),
        "no requests": _many(),
        "too many requests": _many(*[sound(1)] * 257),
        "the same event twice in a body": _many(sound(event_id=MARK), sound(event_id=MARK)),
        "the same id twice": _one("id", f"{MARK}-0"),
        "empty id": _one("id", ""),
        "id of 129 characters": _one("id", "x" * 129),
        "id with a line feed": _one("id", f"{MARK}\n"),
        "id with a NUL": _one("id", f"{MARK}\0"),
        "id that is not ASCII": _one("id", "naïve"),
        "id of spaces": _one("id", "  "),
        "event id with a carriage return": _with(event_id=f"{MARK}\r\nset-cookie: a=b"),
        "session that is not ASCII": _with(session="\u202e" + MARK),
        "a feature too few": _one("features", [0.0] * (TOPICS - 1)),
        "100,000 features": _one("features", [0.0] * 100_000),
        "feature out of range": _features((0, 1.5)),
        "feature of 1e300": _features((0, 1e300)),
        "no topic": _features(),
        "two topics": _features((0, 1), (1, 1)),
        "two halves of a topic": _features((0, 0.5), (1, 0.5)),
        "user of another size": _with(user=[0.5]),
        "user out of range": _with(user=[-1.5] * TOPICS),
        "no user": _with(user=[]),
        "exclusion of a stranger": _with(exclude=[MARK]),
        "exclusion of all": _with(exclude=[f"{MARK}-{i}" for i in range(3)]),
        "packed: not base64": _packed(b"~~~~" + MARK.encode()),
        "packed: not ASCII": _packed(b"\xe9" * 320),
        "packed: a row too few": _packed(eye[:2]),
        "packed: NaN": _packed(np.where(eye, np.nan, 0)),
        "packed: infinity": _packed(np.where(eye, np.inf, 0)),
        "packed: no topic": _packed(eye * 0),
        "response with an unknown field": _with(**_response(**{MARK: [0, 0]})),
        "response of another length": _with(**_response(click=[1, 0, 0])),
        "a click of 2": _with(**_response(click=[2, 0])),
        "half a click": _with(**_response(click=[0.5, 0])),
        "a topic that does not exist": _with(**_response(cluster_id=[20, 0])),
        "a watch time out of range": _with(**_response(watch_time=[1e9, 0])),
    }.items():
        yield Request(name, body, 422)
    rewards = "/v1/events/e/reward"
    yield Request("reward that says nothing", b"{}", 422, path=rewards)
    yield Request("reward of NaN", b'{"reward": NaN}', 400, path=rewards)
    yield Request("reward of 1e13", b'{"reward": 1e13}', 422, path=rewards)
    yield Request("click on a number", b'{"clicked": 7}', 422, path=rewards)
    yield Request("reward of an event with a line feed", b'{"reward": 1}', 404, path="/v1/events/e%0d%0ax/reward")
    yield Request("reward of an event that is not UTF-8", b'{"reward": 1}', 422, path="/v1/events/%ff/reward")
    yield Request("reward of an event of 129 characters", b'{"reward": 1}', 422, path=f"/v1/events/{'x' * 129}/reward")
    yield Request("router change with an unknown field", b'{"kill": true}', 422, "PUT", "/v1/router")
    yield Request("version for no policy", b'{"checkpoint": "x"}', 404, "PUT", f"/v1/policies/{MARK}")


def wrong_http() -> Iterator[Request]:
    """Yield requests whose address, verb, headers or encoding is refused."""
    body = json.dumps(sound()).encode()
    for path in ("/v2", f"/{MARK}", "/v1/rank/", "//v1/rank", "/v1/rank%00", "/../../etc/passwd", "/v1/%2e%2e/rank"):
        yield Request(f"address {path.replace(MARK, '...')}", body, 404, path=path)
    for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"):
        yield Request(f"verb {method}", None, 405, method, headers=())
    yield Request("no content type", body, 415, headers=())
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "*/*", "\xff"):
        yield Request(f"content type {ascii(kind)[1:-1]}", body, 415, headers=(("content-type", kind),))
    yield Request("UTF-16 declared", body, 415, headers=(("content-type", "application/json; charset=utf-16"),))
    for coding in ("gzip", "br", "deflate"):
        compressed = gzip.compress(body)
        yield Request(f"body in {coding}", compressed, 415, headers=(*KIND, ("content-encoding", coding)))
    bomb = gzip.compress(b"[" * 10_000_000)
    yield Request("bomb of gzip", bomb, 415, headers=(*KIND, ("content-encoding", "gzip")))
    yield Request("101 headers", body, 431, headers=(*KIND, *((f"x-{i}", MARK) for i in range(100))))
    yield Request("header of 16 kB", body, 431, headers=(*KIND, ("x-long", MARK * 2000)))
    yield Request("body of 9 MB", b" " * 9_000_000 + body, 413)


def all_requests() -> list[Request]:
    """Return all of them."""
    return [*malformed(), *wrong_values(), *wrong_http()]
