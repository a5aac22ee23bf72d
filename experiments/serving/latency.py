"""Latency by an open loop: requests are sent when they are due, whether or not earlier ones were answered.

    uv run python -m experiments.serving.latency

Latency counts from when a request was due, so a stall is seen by all that were due meanwhile; clients that wait for an
answer before they send again hide it. Servers take turns, each for a few seconds. Prints a markdown table.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from experiments.serving.throughput import make_bodies, prepare, server

SERVERS = ("noop local", "local", "noop haproxy", "ray")
CONNECTIONS = 64


async def timed(port: int, body: bytes, rate: float, seconds: float) -> list[float]:
    """Return the latencies in ms of so many requests a second."""
    idle: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        idle.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    head = f"POST /v1/rank HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
    request = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
    taken: list[float] = []

    async def one(due: float) -> None:
        reader, writer = connection = await idle.get()
        writer.write(request)
        answer = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in answer.split(b"\r\n")[0]:
            raise RuntimeError(answer.decode())
        length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length"))
        await reader.readexactly(int(length.split(b":")[1]))
        taken.append((time.perf_counter() - due) * 1000)
        idle.put_nowait(connection)

    start = time.perf_counter() + 0.1
    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            due = start + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(one(due))
    while not idle.empty():
        idle.get_nowait()[1].close()
    return taken


def main() -> None:
    """Measure in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=60, help="requests a second")
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=SERVERS)
    asked = parser.parse_args()
    taken = defaultdict[str, list[float]](list)
    with tempfile.TemporaryDirectory(prefix="recsys-latency-") as name, ExitStack() as stack:
        folder = Path(name)
        prepare(folder)
        body = make_bodies(folder)[10, 1, False].read_bytes()
        servers = {each: stack.enter_context(server(each, folder)) for each in asked.servers}
        for number in range(-1, asked.rounds):
            for each, running in servers.items():
                port = int(running.url.rpartition(":")[2])
                found = asyncio.run(timed(port, body, asked.rate, asked.seconds if number >= 0 else 1.0))
                taken[each] += found if number >= 0 else []
    print("| server | requests | p50 ms | p99 ms | p99 / p50 |\n|---|---|---|---|---|")
    for each, values in taken.items():
        p50, p99 = np.percentile(values, [50, 99])
        print(f"| {each} | {len(values):,} | {p50:.1f} | {p99:.1f} | {p99 / p50:.1f} |")


if __name__ == "__main__":
    main()
