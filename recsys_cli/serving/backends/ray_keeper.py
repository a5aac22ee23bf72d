"""Watches the HAProxy of a service: another one stands in within a fraction of a second after it was killed.

Ray Serve takes some ten seconds to replace an HAProxy that was killed, or one whose manager was. Until then the one
started here serves, with the configuration of the last; the next takes over without closing the port (SO_REUSEPORT).
Stands alone, in a process of its own, so that it also ends what is left if the service itself is killed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

SECONDS = 0.1  # between looks
PATIENCE_S = 2.0  # with one that starts
INTERIM, OPEN = "interim.pid", ".open"  # as in `ray_haproxy`


def haproxies(folder: Path) -> set[int]:
    """Return the ids of the HAProxies whose configuration lies in a folder."""
    found = set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and runs_from(int(process.name), folder):
            found.add(int(process.name))
    return found


def runs_from(process: int, folder: Path) -> bool:
    """Whether a process is an HAProxy whose configuration lies in a folder."""
    try:
        words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")  # empty for a zombie
    except OSError:
        return False
    return words[1:3] == [b"-db", b"-f"] and words[3].startswith(bytes(folder))


class Keeper:
    """Keeps an HAProxy running."""

    def __init__(self, folder: Path, binary: str, address: tuple[str, int]) -> None:
        """Watch a port and the HAProxies of a folder."""
        self.folder, self.binary, self.address = folder, binary, address
        self.interims: list[subprocess.Popen[bytes]] = []  # the last one serves, or is still starting
        self.served, self.started = False, -PATIENCE_S

    def look(self) -> None:
        """Start an HAProxy if nothing listens at the port, once one did."""
        self.interims = [each for each in self.interims if each.poll() is None]
        if not self.interims:
            (self.folder / INTERIM).unlink(missing_ok=True)
        if not self.refused():
            self.served = True
        elif self.served and not (self.interims and time.monotonic() < self.started + PATIENCE_S):
            self.stand_in()

    def refused(self) -> bool:
        """Whether nothing listens at the port."""
        with contextlib.closing(socket.socket(family(self.address[0]))) as probe:
            probe.settimeout(1)
            return probe.connect_ex(self.address) == errno.ECONNREFUSED

    def stand_in(self) -> None:
        """Start an HAProxy as the last one was; an earlier one of ours may still be answering what it has accepted."""
        configs = sorted(self.folder.rglob(f"*{OPEN}"), key=lambda path: path.stat().st_mtime)
        command = [self.binary, "-db", "-f", str(configs[-1])]
        self.interims.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        self.started = time.monotonic()
        (self.folder / INTERIM).write_text(str(self.interims[-1].pid))
        print("recsys: haproxy was killed; another one stands in", flush=True)


def drain(folder: Path, seconds: float) -> None:
    """Let all HAProxies of a folder finish what they have accepted, and end those that take longer."""
    deadline = time.monotonic() + seconds
    while running := haproxies(folder):
        late = time.monotonic() > deadline
        for process in running:
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL if late else signal.SIGUSR1)
        time.sleep(SECONDS)


def family(host: str) -> socket.AddressFamily:
    """Return the family of an address."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def main(folder: Path, binary: str, host: str, port: int) -> None:
    """Watch until the parent has gone; then end all HAProxies, and remove the folder."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # they are for the parent, which ends us
    parent, keeper = os.getppid(), Keeper(folder, binary, (host, port))
    while os.getppid() == parent:
        keeper.look()
        time.sleep(SECONDS)
    for _ in range(100):  # Ray's own processes take some seconds to notice, and may start another one
        drain(folder, 0)
        time.sleep(SECONDS)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))
