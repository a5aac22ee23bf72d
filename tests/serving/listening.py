"""Which ports processes listen at, and where."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from pathlib import Path

LISTEN = "0A"


def listening(pids: Iterable[int]) -> set[tuple[str, int]]:
    """Return (address, port) of every TCP socket at which one of the processes listens."""
    inodes = {inode for pid in pids for inode in _sockets(pid)}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == LISTEN and words[9] in inodes:
                address, _, port = words[1].partition(":")
                found.add((_address(address), int(port, 16)))
    return found


def only_here(address: str) -> bool:
    """Whether only this machine reaches an address."""
    parsed = ipaddress.ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback


def _address(digits: str) -> str:
    """Return an address from the kernel's words of 32 bits, each in the machine's own order."""
    words = [bytes.fromhex(digits[at : at + 8])[::-1] for at in range(0, len(digits), 8)]
    return str(ipaddress.ip_address(b"".join(words)))


def _sockets(pid: int) -> set[str]:
    """Return the inodes of a process's sockets."""
    found = set()
    try:
        for file in Path(f"/proc/{pid}/fd").iterdir():
            name = str(file.readlink())
            if name.startswith("socket:["):
                found.add(name[8:-1])
    except OSError:  # it has ended, or closed one
        pass
    return found
