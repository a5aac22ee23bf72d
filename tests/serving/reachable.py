"""A service that listens, in a thread of this process."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from starlette.types import ASGIApp

from recsys_cli.config.serving import ServingConfig
from recsys_cli.serving.app import make_app
from recsys_cli.serving.backends.local import LocalServer, address_of, listen

HOST = "127.0.0.1"


@contextlib.contextmanager
def reachable(service: Any, settings: ServingConfig, token: str | None = None) -> Iterator[str]:
    """Yield the address of a service while it can be reached."""
    with listening(make_app(service, settings, token), settings) as address:
        yield address


@contextlib.contextmanager
def listening(app: ASGIApp, settings: ServingConfig) -> Iterator[str]:
    """Yield the address of an app while it can be reached."""
    ready = threading.Event()
    with contextlib.closing(listen(HOST, 0)) as listener:
        server = LocalServer(app, settings, ready.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            assert ready.wait(10)
            yield address_of(HOST, listener)
        finally:
            server.should_exit = True
            thread.join()
