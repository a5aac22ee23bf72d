"""A local server in a thread of the tests."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Self

from starlette.types import ASGIApp

from recsys_cli.config.serving import ServingConfig
from recsys_cli.serving.backends.local import LocalServer, listen
from recsys_cli.serving.http.app import make_api


class Running:
    """A server that answers for a service while the block lasts, on a free port."""

    def __init__(
        self, service: Any, limits: ServingConfig, token: str | None = None, make: Callable[..., ASGIApp] = make_api
    ) -> None:
        self.service, self._listener, began = service, listen("127.0.0.1", 0), threading.Event()
        self.port: int = self._listener.getsockname()[1]
        self.server = LocalServer(make(service, limits, token), limits, began.set)
        self._thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self._listener]}, daemon=True)
        self._began = began

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._began.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()
