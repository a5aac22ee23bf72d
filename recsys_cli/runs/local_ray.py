"""A Ray on this machine alone, with the processes that a training uses and no others.

`ray.init` also starts an autoscaler monitor, an API server, a log monitor, and the agents of its dashboard and its
runtime environments: five Python processes that take four fifths of the start's CPU time, and none of which one machine
needs. On a busy machine they made Ray miss its own deadline of 30 s, and each attempt left its own behind, so that the
next was slower still.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray._private import node, services

from recsys_cli.config.errors import ConfigError, one_line

raylet: Any = ray._raylet

LIMIT_S = 180  # for each of Ray's two processes to answer; on a quiet machine they take a second
LOGGING: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
SHORT = "/tmp"  # a Unix socket's path has at most 107 characters, of which Ray's own part takes 67
ERROR_LINE = re.compile(r"^\[[^\]]* [EC] [^\]]*\] (.+)$", re.MULTILINE)  # of Ray's logs, errors and failed checks
AGENTS = ("--dashboard_agent_command", "--runtime_env_agent_command")
NOT_IN_USE = {
    raylet.METRICS_AGENT_PORT_NAME: -1,
    raylet.METRICS_EXPORT_PORT_NAME: -1,
    raylet.DASHBOARD_AGENT_LISTEN_PORT_NAME: -1,
    raylet.RUNTIME_ENV_AGENT_PORT_NAME: 1,  # Ray insists on a valid one
}
STAND_IN = Path(__file__).with_name("stand_in_agent.py")


class LocalNode(node.Node):
    """Ray's head node without its monitors, its API server and its agents; `workers` processes start at once."""

    workers = 1
    last: LocalNode | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Start the processes; `last` is known even if that fails."""
        LocalNode.last = self
        super().__init__(*args, **kwargs)

    def start_api_server(self, **_: Any) -> None:
        """Start none."""

    def start_monitor(self) -> None:
        """Start none: this machine does not grow."""

    def start_log_monitor(self) -> None:
        """Start none: nothing is printed from the logs."""

    def start_raylet(self, *args: Any, **kwargs: Any) -> None:
        """Start the raylet with stand-ins for its agents, whose ports it would wait for."""
        for name, port in NOT_IN_USE.items():
            raylet.persist_port(self._session_dir, self._node_id, name, port)
        start = services.start_ray_process

        def start_lean(command: Sequence[str], *args: Any, **kwargs: Any) -> Any:
            return start([self._lean(word) for word in command], *args, **kwargs)

        with _replaced(services, "start_ray_process", start_lean):
            super().start_raylet(*args, **kwargs)

    def _lean(self, word: str) -> str:
        """Return a word of the raylet's command line, changed if it names an agent or the number of workers."""
        name = word.partition("=")[0]
        if name in AGENTS:
            return f"{name}={subprocess.list2cmdline([sys.executable, '-I', '-S', str(STAND_IN)])}"
        return f"{name}={self.workers}" if name == "--num_prestart_python_workers" else word

    def ended(self) -> bool:
        """Whether one of its processes is gone."""
        return any(process.process.poll() is not None for each in self.all_processes.values() for process in each)

    def last_word(self) -> str:
        """Return the last error that a process of it logged; empty if there is none."""
        logs = sorted(Path(self._logs_dir).glob("*.out"), key=lambda path: path.stat().st_mtime)
        found = [line for log in logs for line in ERROR_LINE.findall(log.read_text(errors="replace"))]
        return found[-1] if found else ""


def start(cpus: int, *, gpus: int | None = 0, workers: int = 1, preload: Sequence[str] = ()) -> None:
    """Start a Ray of this process alone.

    Args:
        cpus: it may give away.
        gpus: likewise; None: all there are.
        workers: processes to start at once, each of which imports `preload` while others get ready.
        preload: modules.

    Raises:
        ConfigError: its processes ended, or did not answer within `LIMIT_S` each; none of them is left. Or this process
            has a Ray already, which stays as it is.
    """
    if ray.is_initialized():
        raise ConfigError("a Ray runs in this process already: end it by ray.shutdown(), or train by resources=inline")
    # Ray's workers give way to all others: beside six busy processes they would get a thirtieth of a core.
    config: dict[str, Any] = {"worker_niceness": 0}
    if preload:
        config["preload_python_modules"] = list(preload)
    short = len(tempfile.gettempdir()) > len("/tmp") + 20
    arguments = {"num_cpus": cpus, "num_gpus": gpus, "_system_config": config, **LOGGING}
    LocalNode.workers, LocalNode.last = workers, None
    on_term = signal.getsignal(signal.SIGTERM)
    try:
        with ExitStack() as stack:
            stack.enter_context(_environment({"RAY_gcs_server_port_wait_time_s": str(LIMIT_S), "OMP_NUM_THREADS": "1"}))
            stack.enter_context(_replaced(node, "Node", LocalNode))
            # A signal to our process group, as `timeout` sends it, is for us: Ray's processes end when we end them.
            stack.enter_context(_replaced(services, "ConsolePopen", partial(services.ConsolePopen, process_group=0)))
            stack.enter_context(_replaced(services, "get_node", _patient(services.get_node)))
            # "local": never join a cluster that happens to run on this machine.
            ray.init(
                address="local",
                include_dashboard=False,
                _node_ip_address="127.0.0.1",
                _temp_dir=str(Path(SHORT) / "ray") if short else None,
                **arguments,
            )
    except Exception as error:  # Ray raises no class of its own here
        raise ConfigError(_end_failed(error)) from None
    except BaseException:
        _end_failed(None)
        raise
    signal.signal(signal.SIGTERM, on_term)  # Ray's own handler prints a stack trace


def _end_failed(error: Exception | None) -> str:
    """End what a failed start has left, and return the line about it."""
    ray.shutdown()
    failed = LocalNode.last
    word = ""
    if failed is not None:
        word = failed.last_word()
        failed.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)
    why = f"Ray cannot start: {one_line(error)}" + (f"; its last error: {word}" if word else "")
    return f"{why}; train without it by resources=inline"


def _patient(get_node: Any) -> Any:
    """Return Ray's function that looks a new node up, waiting as long as we allow, not 30 s."""

    def wait(*args: Any) -> Any:
        began = time.monotonic()
        while True:
            try:
                return get_node(*args)
            except RuntimeError:
                started = LocalNode.last
                if started is not None and started.ended():
                    raise Exception("one of its processes ended at once") from None
                if time.monotonic() - began > LIMIT_S:
                    raise Exception(f"no answer within {LIMIT_S} s") from None
                time.sleep(0.05)

    return wait


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def _environment(defaults: dict[str, str]) -> Iterator[None]:
    """Set variables that are not set, for the processes started in this block."""
    ours = {name: value for name, value in defaults.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            del os.environ[name]
