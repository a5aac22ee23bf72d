"""Commands as a user types them, and services that run beside them."""

from __future__ import annotations

import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager

from recsys_cli.serving.client import Client
from recsys_cli.serving.messages import PolicyInfo


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def recsys(*words: str) -> None:
    """Run a command, and show it.

    Raises:
        CalledProcessError: it failed.
    """
    print(f"$ recsys {shlex.join(words)}", flush=True)
    subprocess.run([sys.executable, "-m", "recsys_cli", *words], check=True)


@contextmanager
def background(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command beside others; it is ended, if it has not ended by itself."""
    print(f"$ recsys {shlex.join(words)} &", flush=True)
    with subprocess.Popen([sys.executable, "-m", "recsys_cli", *words]) as process:
        try:
            yield process
        finally:
            process.terminate()


@contextmanager
def serving(*words: str) -> Iterator[str]:
    """Run `recsys serve` beside other commands, and yield the service's address once it answers."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with background("serve", *words, f"port={port}"):
        live(url)
        yield url


def live(url: str) -> list[PolicyInfo]:
    """Return the live policies of a service, which may still be starting."""
    with closing(Client(url, retries=30)) as client:
        return client.policies().policies
