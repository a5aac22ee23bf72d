"""What a request may cost before it is understood: its headers, its body, the time for both, and how many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from starlette.types import Receive

from recsys_cli.config.serving import ServingConfig
from recsys_cli.serving.errors import Refused

MAX_HEADERS, MAX_HEADER_BYTES = 100, 16_384
BODIES_AT_ONCE = 16  # of the greatest size, that arrive in pieces
RETRY_S = 1.0  # for clients that were turned away for now

Headers = Mapping[bytes, bytes]


class Gone(Exception):
    """The client has left before its request was complete."""


def headers_of(headers: list[tuple[bytes, bytes]]) -> Headers:
    """Return headers by their names.

    Raises:
        Refused: too many or too long.
    """
    if len(headers) > MAX_HEADERS or sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        raise Refused(431, f"at most {MAX_HEADERS} headers and {MAX_HEADER_BYTES:,} bytes of them are read")
    return dict(headers)


class Load:
    """What one process is busy with.

    Attributes:
        waiting: requests that were read and are not answered.
    """

    def __init__(self, limits: ServingConfig) -> None:
        """Take the limits."""
        self._limits, self._arriving = limits, 0
        self.waiting = 0

    def check(self) -> None:
        """Turn a request away if there are too many.

        Raises:
            Refused: 503.
        """
        if self.waiting >= self._limits.max_queued:
            raise Refused(503, "too many requests at once", RETRY_S)

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Count a request while the block lasts.

        Raises:
            Refused: 503.
        """
        self.check()
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    async def body(self, headers: Headers, receive: Receive) -> bytes:
        """Return a request's JSON body, read no further than the limit.

        Raises:
            Refused: 408, 413, 415 or 503.
            Gone: the client has left.
        """
        _check_kind(headers)
        most = self._limits.max_body_bytes
        length = headers.get(b"content-length", b"0")
        if len(length) > 18 or not length.isdigit() or int(length) > most:
            raise _too_large(most)
        try:
            async with asyncio.timeout(self._limits.max_seconds):
                return await self._read(receive, most)
        except TimeoutError:
            raise Refused(408, f"the body must arrive within {self._limits.max_seconds:g} s") from None

    async def _read(self, receive: Receive, most: int) -> bytes:
        parts, size, held = list[bytes](), 0, 0
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Gone
                part = message.get("body", b"")
                size += len(part)
                if size > most:
                    raise _too_large(most)
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
                held += len(part)
                self._arriving += len(part)
                if self._arriving > BODIES_AT_ONCE * most:
                    raise Refused(503, "too many large requests at once", RETRY_S)
        finally:
            self._arriving -= held


def _check_kind(headers: Headers) -> None:
    kind, _, parameters = headers.get(b"content-type", b"").lower().partition(b";")
    charset = parameters.replace(b" ", b"").replace(b'"', b"")
    if kind.strip() != b"application/json" or charset not in (b"", b"charset=utf-8"):
        raise Refused(415, "the content type must be application/json")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise Refused(415, "the body must not be compressed")


def _too_large(most: int) -> Refused:
    return Refused(413, f"the body must be at most {most:,} bytes")
