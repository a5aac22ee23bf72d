"""HTTP as uvicorn speaks it, with limits on what it does not limit: time, headers, connections, slow readers."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from recsys_cli.config.serving import ServingConfig
from recsys_cli.serving.http.limits import MAX_HEADER_BYTES
from recsys_cli.serving.messages import Problem

OVERHEAD = 2  # bytes on the wire for each byte of a body: it may come in small chunks
MAX_HEAD_BYTES = MAX_HEADER_BYTES + 65_536  # what is read at once may hold a head and the start of its body


class LimitedProtocol(HttpToolsProtocol):
    """One connection.

    Attributes:
        max_seconds: for a request to arrive, from the connection or its first byte on, and for its answer to be taken.
        max_bytes: of a request, as sent.
        max_connections: at once.
    """

    max_seconds: ClassVar[float]
    max_bytes: ClassVar[int]
    max_connections: ClassVar[int]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection, unless there are too many."""
        super().connection_made(transport)
        self._arriving, self._in_head, self._ending, self._received = True, True, False, 0
        self._answered: RequestResponseCycle | None = None
        self._arrival: asyncio.TimerHandle | None = None
        self._delivery: asyncio.TimerHandle | None = None
        if len(self.connections) > self.max_connections:
            self._refuse(503, "too many connections", b"retry-after: 1\r\n")
        else:
            self._arrival = self.loop.call_later(self.max_seconds, self._late)

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection."""
        self._forget()
        super().connection_lost(exc)
        for timer in (self._arrival, self._delivery):
            if timer is not None:
                timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Read what has come, up to the limits."""
        if self._ending or self.transport.is_closing():
            return
        in_head = self._in_head
        super().data_received(data)
        self._received += len(data)  # since the last request in it began
        if self._ending or self.transport.is_closing():
            return
        if in_head and self._in_head and self._received > MAX_HEADER_BYTES:
            self._refuse(431, f"at most {MAX_HEADER_BYTES:,} bytes of headers are read")
        elif self._received > self.max_bytes:
            self._abort()  # whoever goes on after an answer of 413
        elif self._arriving and self._arrival is None:
            self._arrival = self.loop.call_later(self.max_seconds, self._late)
        elif not self._arriving and self._arrival is not None:
            self._arrival.cancel()
            self._arrival = None

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._arriving = self._in_head = True
        self._received = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; those after a body are not read."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Stop the clock."""
        self._arriving = False
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Give a client that does not read its answer some time."""
        super().pause_writing()
        self._delivery = self.loop.call_later(self.max_seconds, self._abort)

    def resume_writing(self) -> None:
        """Stop that clock."""
        super().resume_writing()
        if self._delivery is not None:
            self._delivery.cancel()
            self._delivery = None

    def timeout_keep_alive_handler(self) -> None:
        """End an idle connection, also if its client has not read the last answer."""
        self._abort()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP."""
        self._refuse(400, "not a valid HTTP request")

    def _late(self) -> None:
        """End a connection on which no whole request arrived in time; an app that reads its body says so itself."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._arrival = self.loop.call_later(self.max_seconds, self._abort)
        elif self._received and self._in_head:
            self._refuse(408, f"the headers must arrive within {self.max_seconds:g} s")
        else:
            self.transport.close()

    def _refuse(self, status: int, message: str, more: bytes = b"") -> None:
        """Answer and close; if whole requests came before on this connection, they are answered, and that is all."""
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete and not cycle.more_body:
            self._ending, cycle.keep_alive = True, False
            return
        if not self.pipeline and (cycle is None or cycle.response_complete or not cycle.response_started):
            content = msgspec.json.encode(Problem(message))
            head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n" % len(content)
            self.transport.write(b"".join((STATUS_LINE[status], head, more, b"\r\n", content)))
        self._forget()
        self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Begin to answer a request."""
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def _abort(self) -> None:
        """End a connection whose client does not read."""
        self._forget()
        self.transport.abort()

    def _forget(self) -> None:
        """Let nothing more be written; uvicorn tells only the last of several requests that their client is gone."""
        for cycle in (self._answered, self.cycle):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()


def limited(limits: ServingConfig, max_connections: int) -> type[LimitedProtocol]:
    """Return the protocol with a service's limits."""
    values: dict[str, Any] = {
        "max_seconds": limits.max_seconds,
        "max_bytes": OVERHEAD * limits.max_body_bytes + MAX_HEAD_BYTES,
        "max_connections": max_connections,
    }
    return type("Limited", (LimitedProtocol,), values)
