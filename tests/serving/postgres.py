"""A real PostgreSQL server in a folder of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest


def binary(name: str) -> str | None:
    """Return the path of a server's program: on the path, or where Debian and Ubuntu put it."""
    found = shutil.which(name) or next(map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))), None)
    return os.path.realpath(found) if found else None


class Server:
    """A server that can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.process = folder, None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        # It refuses to run as root.
        self.user: dict[str, Any] = {"user": "nobody", "extra_groups": []} if os.geteuid() == 0 else {}
        if self.user:
            shutil.chown(folder, "nobody")
        initdb = [binary("initdb"), "-D", folder / "data", "-A", "trust", "-U", "recsys", "--no-sync"]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd=folder, **self.user)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://recsys@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        settings = [f"port={self.port}", f"unix_socket_directories={self.folder}", "fsync=off"]
        options = [word for setting in (*settings, "listen_addresses=127.0.0.1") for word in ("-c", setting)]
        command = [binary("postgres"), "-D", self.folder / "data", *options]
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(command, stderr=log, cwd=self.folder, **self.user)
        for _ in range(300):
            try:
                psycopg.connect(self.url()).close()
                return
            except psycopg.OperationalError:
                time.sleep(0.1)
        raise AssertionError((self.folder / "log").read_text())

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(subprocess.signal.SIGINT)  # type: ignore[attr-defined]
            self.process.wait(30)
            self.process = None

    def database(self, name: str) -> str:
        """Make a database; return its URL."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)


@contextmanager
def running() -> Iterator[Server]:
    """Yield a running server; skip the test if this machine has none."""
    if binary("initdb") is None or binary("postgres") is None:
        pytest.skip("PostgreSQL's initdb and postgres are not installed")
    folder = Path(tempfile.mkdtemp(prefix="recsys-postgres-", dir="/tmp"))
    server = Server(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
