"""Addresses of the page: `/` itself, which is open to all, and `/ui/...`, which it asks."""

from __future__ import annotations

import asyncio
import secrets
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import msgspec
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from recsys_cli.serving.inputs import decode
from recsys_cli.serving.limits import headers_of
from recsys_cli.serving.page.state import State
from recsys_cli.serving.page.users import Ask, Users

if TYPE_CHECKING:
    from recsys_cli.serving.service import Service

SCRIPTS = ("basics.js", "charts.js", "live.js", "session.js", "start.js")
NONCE, STYLE, SCRIPT = "{{nonce}}", "{{style}}", "{{script}}"  # places in the page
POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SAFE = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}


def routes(service: Service) -> list[Route]:
    """Return the routes of a service's page."""
    users = Users.of(service.live.now.models[0])
    asked = [] if users is None else [Route("/ui/user", _User(service, users), methods=["POST"])]
    return [
        Route("/", _Page(), methods=["GET"]),
        Route("/ui/state", _Live(State(service, users is not None)), methods=["GET"]),
        *asked,
    ]


@cache
def document() -> str:
    """Return the page, one file, with a place for the nonce."""
    assets = files("recsys_cli.serving.page") / "assets"
    read = {name: (assets / name).read_text(encoding="utf-8") for name in ("page.html", "style.css", *SCRIPTS)}
    script = "\n".join(read[name] for name in SCRIPTS)
    return read["page.html"].replace(STYLE, read["style.css"]).replace(SCRIPT, script)


class _Page:
    """`GET /`: holds nothing of the service."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the page with a nonce of its own, so that no other script can run in it."""
        nonce = secrets.token_urlsafe(16)
        headers = {**SAFE, "content-security-policy": POLICY.format(nonce=nonce)}
        await Response(document().replace(NONCE, nonce), 200, headers, "text/html")(scope, receive, send)


class _Live:
    """`GET /ui/state`: what the service is doing."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        await Response(self._state.body(), 200, SAFE, "application/json")(scope, receive, send)


class _User:
    """`POST /ui/user`: a simulated user after some acts."""

    def __init__(self, service: Service, users: Users) -> None:
        self._load, self._users, self._decoder = service.load, users, msgspec.json.Decoder(Ask)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Play it in a thread, since others' requests must not wait."""
        body = await self._load.body(headers_of(scope["headers"]), receive)
        with self._load.answering():
            moment = await asyncio.to_thread(self._users.after, decode(self._decoder, body))
        await Response(msgspec.json.encode(moment), 200, SAFE, "application/json")(scope, receive, send)
