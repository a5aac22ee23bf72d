"""Calls an ASGI app in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Scope


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def scope_of(method: str, path: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> Scope:
    """Return what a server makes of a request's head."""
    path, _, query = path.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": list(headers),
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
    }


def request(
    app: ASGIApp, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, **more: str
) -> Answer:
    """Send one request; a body that is not bytes goes as JSON.

    Args:
        app: to be called.
        method: of HTTP.
        path: with its query.
        body: of the request.
        headers: beside the body's length; None: its type.
        more: likewise, with `_` for `-`.
    """
    content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"content-type": "application/json"} if headers is None and body is not None else dict(headers or {})
    given |= {"content-length": str(len(content)), **{name.replace("_", "-"): value for name, value in more.items()}}
    return asyncio.run(exchange(app, scope_of(method, path, _encoded(given)), [content]))


async def exchange(app: ASGIApp, scope: Scope, parts: list[bytes]) -> Answer:
    """Send a body in parts and collect the answer."""
    waiting, sent = [*parts], list[Message]()

    async def receive() -> Message:
        if not waiting:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start = sent[0]
    assert start["type"] == "http.response.start" and all(each["type"] == "http.response.body" for each in sent[1:])
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], headers, b"".join(each.get("body", b"") for each in sent[1:]))


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
