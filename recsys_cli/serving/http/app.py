"""The ASGI app of a service: who may enter, what a request asks for, and one line for all that is refused."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import msgspec
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from recsys_cli.config.serving import LOOPBACK, ServingConfig
from recsys_cli.serving.errors import Refused
from recsys_cli.serving.http.auth import Bearer, names_this_machine
from recsys_cli.serving.http.limits import RETRY_S, Gone, Headers, Load, headers_of
from recsys_cli.serving.http.openapi import document
from recsys_cli.serving.http.operations import LOG, Operation, Operations
from recsys_cli.serving.messages import Problem

if TYPE_CHECKING:
    from recsys_cli.serving.service import Service

JSON, TEXT = b"application/json", CONTENT_TYPE_PLAIN_0_0_4.encode()
REFUSALS = {  # of Starlette's router
    404: "there is no such path",
    405: "there is no such method here",
}
HEADERS = "recsys.headers"  # of the scope: by name
_NONE: Mapping[str, str] = {}
Header = tuple[bytes, bytes]
_encode = msgspec.json.Encoder().encode


def make_app(service: Service, settings: ServingConfig, token: str | None) -> ASGIApp:
    """Return the app: the API and the page.

    Args:
        service: that decides.
        settings: with the limits.
        token: that all but the page itself, which asks for it, and questions about health need, in
            `Authorization: Bearer <token>`; None: nobody needs one.
    """
    from recsys_cli.serving.page import routes

    return make_api(service, settings, token, routes(service))


def make_api(service: Service, settings: ServingConfig, token: str | None, more: Sequence[BaseRoute] = ()) -> ASGIApp:
    """Return the app with other routes beside those of the API; see `make_app`."""
    operations = Operations(service, settings).all()
    described = Document(document(operations, service.spec, settings, token is not None))
    routes: list[BaseRoute] = [
        *(Route(each.path, Endpoint(each, service.load), methods=[each.method]) for each in operations),
        Route("/openapi.json", described, methods=["GET"]),
        *more,
    ]
    open_paths = {"/", *(each.path for each in operations if not each.guarded)}
    return Guard(Router(routes, redirect_slashes=False), service, token, open_paths)


class Endpoint:
    """Reads the body of one operation and sends its answer."""

    def __init__(self, operation: Operation, load: Load) -> None:
        """Take the operation, and what counts how busy the process is."""
        self._operation, self._load = operation, load
        self._kind = JSON if operation.returns else TEXT

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        operation, load, body = self._operation, self._load, b""
        if operation.queued:
            load.check()
        if operation.body:
            body = await load.body(scope[HEADERS], receive)
        with load.answering() if operation.queued else nullcontext():
            answer = await operation.answer(body, scope["path_params"])
        await reply(send, operation.status, answer if self._kind is TEXT else _encode(answer), self._kind)


class Document:
    """Answers with a document that never changes."""

    def __init__(self, document: Any) -> None:
        """Encode it."""
        self._content = _encode(document)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await reply(send, 200, self._content)


class Guard:
    """Lets in who has the token, and turns refusals and errors into one line."""

    def __init__(self, app: ASGIApp, service: Service, token: str | None, open_paths: set[str]) -> None:
        """Take the app behind it."""
        self._app, self._service, self._bearer, self._open = app, service, Bearer(token), open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers: Headers = {}
        try:
            headers = scope[HEADERS] = headers_of(scope["headers"])
            if scope["path"] not in self._open:
                self._check_entrance(headers)
            scope["app"] = self  # or Starlette's router would answer what it does not know in text
            await self._app(scope, receive, send)
        except Refused as refused:
            await self._refuse(send, refused, headers)
        except HTTPException as error:
            message = REFUSALS.get(error.status_code, str(error.detail))
            await self._refuse(send, Refused(error.status_code, message), headers, error.headers or {})
        except Gone:
            return
        except asyncio.CancelledError:  # the server stops, and has waited long enough
            await self._refuse(send, Refused(503, "the service is stopping", RETRY_S), headers)
        except Exception:
            LOG.exception("a request failed")
            await self._refuse(send, Refused(500, "an error of the service; it is in its log"), headers)

    def _check_entrance(self, headers: Headers) -> None:
        if not self._bearer.admits(headers.get(b"authorization", b"")):
            raise Refused(401, "a bearer token is needed")
        # Else a web page could reach a service on its reader's machine, by a name that it lets point there.
        if not self._bearer.needed and not names_this_machine(headers.get(b"host", b"localhost")):
            raise Refused(403, f"without a bearer token, only {', '.join(LOOPBACK)} are answered as host")

    async def _refuse(self, send: Send, refused: Refused, headers: Headers, more: Mapping[str, str] = _NONE) -> None:
        """Send the line."""
        self._service.statistics.refused(refused.status)
        extra = [(name.lower().encode(), value.encode()) for name, value in more.items()]
        if refused.status == 401:
            extra.append((b"www-authenticate", b"Bearer"))
        if refused.retry_after is not None:
            extra.append((b"retry-after", b"%d" % math.ceil(refused.retry_after)))
        if b"expect" in headers or refused.status == 408:  # what comes next may be this body or another request
            extra.append((b"connection", b"close"))
        await reply(send, refused.status, _encode(Problem(refused.message)), extra=extra)


async def reply(send: Send, status: int, content: bytes, kind: bytes = JSON, extra: Sequence[Header] = ()) -> None:
    """Send a whole response."""
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(content)), *extra]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
