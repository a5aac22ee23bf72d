"""What is not well-formed HTTP, or comes too slowly, too much or without end; and a client that sends it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import repeat

from experiments.hostile.requests import MARK, Request, sound

CLOSED = 0  # in place of a status: the connection was closed without an answer


@dataclass(frozen=True)
class Wire:
    """Bytes for one connection.

    Attributes:
        name: what is wrong with them.
        steps: to be sent, with pauses (seconds) between.
        statuses: any of which is right; of several answers, the last counts.
        answers: how many there must be, if not one.
    """

    name: str
    steps: Iterable[bytes | float] = field(repr=False)
    statuses: tuple[int, ...]
    answers: int | None = None


@dataclass(frozen=True)
class Seen:
    """What a client saw: statuses, the text of everything, and whether the server ended the connection."""

    statuses: list[int]
    text: bytes
    closed: bool


def head(*headers: str, line: str = "POST /v1/rank HTTP/1.1") -> bytes:
    """Return a request's head, complete."""
    return "\r\n".join([line, "host: localhost", "content-type: application/json", *headers, "", ""]).encode("latin-1")


def wires(seconds: float, most_bytes: int) -> Iterator[Wire]:
    """Yield the cases, for a service with such limits on a request's time and body."""
    body = json.dumps(sound()).encode()
    length = f"content-length: {len(body)}"
    good, chunked = head(length) + body, "transfer-encoding: chunked"
    pieces = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    long = 4 * seconds

    yield Wire("nothing at all", [long], (CLOSED,))
    yield Wire("half a request line", [b"POST /v1/ra", long], (408,))
    yield Wire("half the headers", [head(length)[:-4], long], (408,))
    yield Wire("a byte of a header at a time", [head(length)[:-2], *_drip(b"x-slow: " + b"y" * 1000, long)], (408,))
    yield Wire("head without its body", [head(length), long], (408,))
    yield Wire("half a body", [good[: -len(body) // 2], long], (408,))
    yield Wire("a byte of a body at a time", [head(length), *_drip(body, long)], (408,))
    yield Wire("chunks that never end", [head(chunked), *_drip(b"1\r\n \r\n" * 1000, long, 6)], (408,))
    yield Wire("second request half sent", [good, 0.05, b"POST /v1", long], (408,), answers=2)
    yield Wire("5,000 headers", [head(*(f"x-{i}: {MARK}" for i in range(5000)), length) + body], (431,))
    yield Wire("headers without end", [head()[:-2], *repeat(b"x-a: " + b"y" * 5000 + b"\r\n", 2000)], (431, CLOSED))
    yield Wire("a header without end", [head()[:-2] + b"x: ", *repeat(b"y" * 50_000, 200)], (431, CLOSED))
    yield Wire("address of 100 kB", [head(length, line=f"POST /{'x' * 100_000} HTTP/1.1") + body], (400, 404, 431))
    yield Wire(
        "body ten times too long", [head(f"content-length: {10 * most_bytes}"), *_flood(most_bytes)], (413, CLOSED)
    )
    yield Wire("chunks ten times too long", [head(chunked), *_chunk_flood(most_bytes)], (413, CLOSED))
    yield Wire("too long a body, announced", [head("content-length: 9" + "9" * 15), 0.1], (413,))
    yield Wire("length that overflows", [head("content-length: " + "9" * 40), 0.1], (400,))
    yield Wire("negative length", [head("content-length: -1") + body], (400,))
    yield Wire("length that is no number", [head(f"content-length: {MARK}") + body], (400,))
    yield Wire("two lengths", [head(length, "content-length: 3") + body], (400,))
    yield Wire("length and chunks", [head(length, chunked) + pieces], (400,))
    yield Wire("chunked twice", [head("transfer-encoding: chunked, chunked") + pieces], (200, 400))
    yield Wire("unknown transfer coding", [head("transfer-encoding: gzip") + body], (400,))
    yield Wire("chunk size that is no number", [head(chunked) + b"zz\r\n" + body], (400,))
    yield Wire("chunk size that overflows", [head(chunked) + b"f" * 40 + b"\r\n" + body], (400,))
    yield Wire("chunk longer than said", [head(chunked) + b"1\r\n" + body], (400,))
    yield Wire("chunks, well-formed", [head(chunked) + pieces], (200,))
    yield Wire("chunks of a byte each", [head(chunked) + _chunks(body)], (200,))
    yield Wire("headers after the body", [head(chunked) + pieces[:-2] + b"authorization: x\r\n\r\n"], (200, 400))
    yield Wire("more headers after the body", [head(chunked) + pieces[:-2], *_trailers(most_bytes)], (200, CLOSED))
    yield Wire("asks before it sends", [head(length, "expect: 100-continue"), 0.1, body], (200,), answers=2)
    yield Wire("asks before too much", [head("content-length: 99999999", "expect: 100-continue"), 0.1], (413,))
    yield Wire("unknown expectation", [head(length, f"expect: {MARK}") + body], (200, 417))
    yield Wire("three requests at once", [good * 3], (200,), answers=3)
    yield Wire("200 requests at once", [good * 200], (200,), answers=200)
    yield Wire("good, then garbage", [good + b"\x00\x01\x02 " + MARK.encode() + b"\r\n\r\n"], (200,), answers=1)
    yield Wire("not HTTP", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + MARK.encode() * 20], (400,))
    yield Wire("HTTP/2 preface", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], (400,))
    yield Wire("HTTP/0.9", [b"GET /v1/policies\r\n\r\n"], (200, 400))
    yield Wire("HTTP/9.9", [head(length, line="POST /v1/rank HTTP/9.9") + body], (400,))
    yield Wire("HTTP/1.0", [head(length, line="POST /v1/rank HTTP/1.0") + body], (200,))
    yield Wire("unknown verb", [head(length, line=f"{MARK} /v1/rank HTTP/1.1") + body], (400,))
    yield Wire("verb in small letters", [head(length, line="post /v1/rank HTTP/1.1") + body], (400,))
    yield Wire("CONNECT", [head(line="CONNECT localhost:22 HTTP/1.1"), 0.1], (400, 404))
    yield Wire(
        "address of another server", [head(length, line="POST http://other.test/v1/rank HTTP/1.1") + body], (200,)
    )
    yield Wire("address with spaces", [head(length, line="POST /v1/ra nk HTTP/1.1") + body], (400,))
    yield Wire("address with bytes", [head(length, line="POST /v1/\xff\xfe HTTP/1.1") + body], (400, 404))
    yield Wire("NUL in a header", [head(length, "x-nul: a\0b") + body], (400,))
    yield Wire("space before a colon", [head(f"content-length : {len(body)}") + body], (400,))
    yield Wire("folded header", [head(length, "x-fold: a\r\n b") + body], (200, 400))
    yield Wire("line feeds alone", [good[: -len(body)].replace(b"\r", b"") + body], (200, 400))
    yield Wire("upgrade to a websocket", [_upgrade("websocket")], (404, 405))
    yield Wire("upgrade to HTTP/2", [_upgrade("h2c")], (404, 405))
    yield Wire("GET with a body", [head(length, line="GET /v2/health/live HTTP/1.1") + body], (200,))


async def send(host: str, port: int, wire: Wire | Request, patience: float = 1.0) -> Seen:
    """Send one case on a connection of its own, and return what came back.

    Args:
        host: of the server.
        port: of it.
        wire: the case.
        patience: seconds to wait for more once all is sent.
    """
    steps = wire.steps if isinstance(wire, Wire) else [wire.wire]
    reader, writer = await asyncio.open_connection(host, port)
    received = bytearray()

    async def read() -> bool:
        with contextlib.suppress(ConnectionError):
            while part := await reader.read(65_536):
                received.extend(part)
        return True

    reading = asyncio.create_task(read())
    try:
        for step in steps:
            if reading.done():
                break
            if isinstance(step, float):
                await asyncio.wait([reading], timeout=step)
            else:
                writer.write(step)
                await writer.drain()
    except ConnectionError:  # the server has closed: what it said before counts
        pass
    finished, _ = await asyncio.wait([reading], timeout=patience)
    reading.cancel()
    writer.close()
    statuses = [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]
    return Seen(statuses, bytes(received), bool(finished))


def _drip(content: bytes, seconds: float, size: int = 1) -> Iterator[bytes | float]:
    for i in range(0, min(len(content), int(seconds / 0.02) * size), size):
        yield content[i : i + size]
        yield 0.02


def _flood(most_bytes: int) -> Iterator[bytes]:
    yield from repeat(b" " * 65_536, 10 * most_bytes // 65_536)


def _chunk_flood(most_bytes: int) -> Iterator[bytes]:
    yield from repeat(b"10000\r\n" + b" " * 65_536 + b"\r\n", 10 * most_bytes // 65_536)


def _trailers(most_bytes: int) -> Iterator[bytes]:
    yield from repeat((b"x-trailer: " + b"y" * 1000 + b"\r\n") * 60, 10 * most_bytes // 60_000)


def _chunks(body: bytes) -> bytes:
    return b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"


def _upgrade(protocol: str) -> bytes:
    return head("connection: upgrade", f"upgrade: {protocol}", line="GET /v1/rank HTTP/1.1")
