"""Servers to be measured: processes on this machine, their CPU time, and load on them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from experiments.kills.run import alive, descendants

START_S = 300  # a loaded machine is slow
RECSYS = (sys.executable, "-m", "recsys_cli")
WRK = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local file = io.open("{body}", "rb")
wrk.body = file:read("*all")
"""


@dataclass(frozen=True)
class Load:
    """What clients saw.

    Attributes:
        requests: answered.
        refused: of them, other than 2xx or 3xx.
        seconds: of CPU that the server's processes used meanwhile.
        wall: seconds.
        p50: latency in ms, of clients that wait for an answer before they send again.
        p99: likewise.
    """

    requests: int
    refused: int
    seconds: float
    wall: float
    p50: float
    p99: float

    @property
    def per_request(self) -> float:
        """Microseconds of server CPU a request."""
        return self.seconds / max(1, self.requests) * 1e6


class Server:
    """A server's process and all below it."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        """Take a process that answers at an address."""
        self.process, self.url = process, url

    def pids(self) -> list[int]:
        """Return the ids of its processes."""
        return [self.process.pid, *descendants(self.process.pid)]

    def named(self, pattern: str) -> list[int]:
        """Return the ids of those whose command line has a pattern."""
        return [pid for pid in self.pids() if re.search(pattern, command_of(pid))]

    def cpu(self) -> dict[int, float]:
        """Return the CPU seconds of each process, of all its threads."""
        return {pid: seconds for pid in self.pids() if (seconds := cpu_of(pid)) is not None}

    def load(self, path: str, body: Path, clients: int = 8, seconds: float = 3.0) -> Load:
        """Let clients send a body again and again, by `wrk`."""
        script = body.with_suffix(".lua")
        script.write_text(WRK.format(body=body))
        before, began = self.cpu(), time.monotonic()
        command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds:.0f}s", "--latency", "-s", str(script), self.url + path]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        wall, after = time.monotonic() - began, self.cpu()
        used = sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())
        return Load(
            requests=_number(r"(\d+) requests in", said),
            refused=_number(r"Non-2xx or 3xx responses: (\d+)", said),
            seconds=used,
            wall=wall,
            p50=_milliseconds(r"50%\s+(\S+)", said),
            p99=_milliseconds(r"99%\s+(\S+)", said),
        )


@contextmanager
def started(
    words: Sequence[str], url: str, probe: str, folder: Path, variables: dict[str, str] | None = None
) -> Iterator[Server]:
    """Start a server and yield it when it answers; its output goes to a file in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2]), **(variables or {})}
    with (folder / "server.txt").open("w") as output:
        process = subprocess.Popen(words, cwd=folder, env=environment, stdout=output, stderr=output, text=True)
    try:
        wait_until_ready(process, url + probe, folder / "server.txt")
        yield Server(process, url)
    finally:
        left = descendants(process.pid)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pid in filter(alive, left):
            os.kill(pid, signal.SIGKILL)


def wait_until_ready(process: subprocess.Popen[str], url: str, output: Path) -> None:
    """Wait for any answer at an address."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        if answers(url):
            return
        time.sleep(0.1)
    raise RuntimeError(f"no answer at {url}: {output.read_text()[-2000:]}")


def answers(url: str) -> bool:
    """Whether something answers at an address; 503 is none."""
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except urllib.error.HTTPError as error:
        return error.code != 503
    except OSError:
        return False
    return True


def cpu_of(pid: int) -> float | None:
    """Return the CPU seconds of a process, finer than clock ticks; None if it is gone."""
    try:
        threads = [Path(task, "schedstat").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
        return sum(int(each.split()[0]) for each in threads) / 1e9
    except OSError:
        return None


def command_of(pid: int) -> str:
    """Return a process's command line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def has_wrk() -> bool:
    """Whether wrk is installed."""
    return shutil.which("wrk") is not None


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0


def _milliseconds(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    value = re.fullmatch(r"([\d.]+)(us|ms|s)", found[1]) if found else None
    return float(value[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[value[2]] if value else float("nan")
