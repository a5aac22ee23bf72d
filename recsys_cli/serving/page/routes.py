"""Addresses of the page: `/` itself, which is open to all, and `/ui/...`, which it asks."""

from __future__ import annotations

import asyncio
import secrets
from functools import cache, cached_property
from importlib.resources import files
from typing import TYPE_CHECKING

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from recsys_cli.serving.errors import Refused
from recsys_cli.serving.http.inputs import decode
from recsys_cli.serving.http.limits import headers_of
from recsys_cli.serving.page.state import State
from recsys_cli.serving.page.users import Ask, Moment, Users

if TYPE_CHECKING:
    from recsys_cli.serving.service import Service

SCRIPTS = ("basics.js", "charts.js", "live.js", "session.js", "start.js")
NONCE, STYLE, SCRIPT = "{{nonce}}", "{{style}}", "{{script}}"  # places in the page
POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
NOT_SIMULATED = "the users of this problem cannot be simulated here"
SAFE = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}


def routes(service: Service) -> list[Route]:
    """Return the routes of a service's page."""
    page = Page(service)
    return [
        Route("/", page.document, methods=["GET"]),
        Route("/ui/state", page.state, methods=["GET"]),
        Route("/ui/user", page.user, methods=["POST"]),
    ]


@cache
def document() -> str:
    """Return the page, one file, with a place for the nonce."""
    assets = files("recsys_cli.serving.page") / "assets"
    read = {name: (assets / name).read_text(encoding="utf-8") for name in ("page.html", "style.css", *SCRIPTS)}
    script = "\n".join(read[name] for name in SCRIPTS)
    return read["page.html"].replace(STYLE, read["style.css"]).replace(SCRIPT, script)


class Page:
    """What the addresses answer; the simulator is built when a browser first asks."""

    def __init__(self, service: Service) -> None:
        """Take the service."""
        self._service, self._decoder = service, msgspec.json.Decoder(Ask)

    @cached_property
    def _users(self) -> Users | None:
        return Users.of(self._service.live.now.models[0])

    @cached_property
    def _state(self) -> State:
        return State(self._service, self._users is not None)

    async def document(self, request: Request) -> Response:
        """Send the page with a nonce of its own, so that no other script runs; it holds nothing of the service."""
        nonce = secrets.token_urlsafe(16)
        headers = {**SAFE, "content-security-policy": POLICY.format(nonce=nonce)}
        return Response(document().replace(NONCE, nonce), 200, headers, "text/html")

    async def state(self, request: Request) -> Response:
        """Say what the service is doing."""
        return _json(self._state.body())

    async def user(self, request: Request) -> Response:
        """Return a simulated user after some acts; played in a thread, since others' requests must not wait."""
        load = self._service.load
        body = await load.body(headers_of(request.scope["headers"]), request.receive)
        with load.answering():
            moment = await asyncio.to_thread(self._after, decode(self._decoder, body))
        return _json(msgspec.json.encode(moment))

    def _after(self, ask: Ask) -> Moment:
        if self._users is None:
            raise Refused(404, NOT_SIMULATED)
        return self._users.after(ask)


def _json(body: bytes) -> Response:
    return Response(body, 200, SAFE, "application/json")
