"""A service in this process: uvicorn, on one port and one core."""

from __future__ import annotations

import contextlib
import gc
import logging
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.serving import ServeConfig, ServingConfig
from recsys_cli.serving.backends.protocol import limited
from recsys_cli.serving.chores import Chores
from recsys_cli.serving.folder import ServiceFolder
from recsys_cli.serving.http.app import make_app
from recsys_cli.serving.http.auth import read_token
from recsys_cli.serving.http.operations import LOG
from recsys_cli.serving.running import chores_of_each, chores_of_one
from recsys_cli.serving.service import Service

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
DRAIN_S = 10  # for requests that are being answered when the service stops
KEEP_ALIVE_S = 75  # of an idle connection
OWN_FILES = 128  # file handles that are not connections
MAX_CONNECTIONS = 4096
LOG_BYTES = 10_000_000


def serve(folder: ServiceFolder, config: ServeConfig) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP, and answer what was asked before; a second signal ends it at once.

    Args:
        folder: of the service; policies are loaded once the port is ours.
        config: of the command.

    Raises:
        ConfigError: the port is not free, or there is no token where there should be.
        KeyboardInterrupt: at the second signal.
    """
    token = read_token(config)
    with contextlib.ExitStack() as ends:
        listener = ends.enter_context(contextlib.closing(listen(config.host, config.port)))
        ends.callback(log_errors(folder.errors))
        service = Service(folder, config)
        ends.callback(service.close)
        ends.callback(Chores(*chores_of_each(service), *chores_of_one(folder, config)).close)
        app, address = make_app(service, config.serving, token), address_of(config.host, listener)
        gc.collect()
        gc.freeze()  # half a million objects of imported packages, which stay
        ends.callback(gc.unfreeze)
        LocalServer(app, config.serving, ready=lambda: _say(address, service)).run(sockets=[listener])


class LocalServer(uvicorn.Server):
    """Uvicorn with our limits and signals."""

    def __init__(self, app: ASGIApp, limits: ServingConfig, ready: Callable[[], None] = lambda: None) -> None:
        """Take the app, its limits, and what to do when it can be reached."""
        self._ready = ready
        super().__init__(
            uvicorn.Config(
                app,
                http=limited(limits, _connections()),
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                log_level="error",  # who sends what is not HTTP must not fill the disk
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=DRAIN_S,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at the first signal, at once at the second; uvicorn's own would end in the signal's exit code."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._stop) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self.should_exit:
            raise KeyboardInterrupt
        self.should_exit = True
        print("stopping; a second signal stops at once", file=sys.stderr, flush=True)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address; port 0 takes a free one.

    Raises:
        ConfigError: it cannot be bound.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"host={host}: {error.strerror}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise ConfigError(f"host={host} port={port}: {error.strerror}; port=0 takes a free port") from None
    return listener


def address_of(host: str, listener: socket.socket) -> str:
    """Return the address that clients call."""
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


def _say(address: str, service: Service) -> None:
    print(f"serving at {address}\nnext: recsys simulate serve={address} env={service.spec.name}", flush=True)


def _connections() -> int:
    """Return how many connections may be open, after allowing as many files as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + OWN_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else max(1, min(MAX_CONNECTIONS, soft - OWN_FILES))


def log_errors(file: Path) -> Callable[[], None]:
    """Let tracebacks go to a file of bounded size, and return what ends that."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handler = RotatingFileHandler(file, maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    loggers = LOG, logging.getLogger("uvicorn.error")
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False

    def end() -> None:
        for logger in loggers:
            logger.removeHandler(handler)
            logger.propagate = True
        handler.close()

    return end
