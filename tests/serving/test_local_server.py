"""A service in this process: one port, limits on load, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path

import pytest
from serving.bodies import rank_body
from serving.servers import Running
from serving.services import FirstOnes, limits_of

from experiments.hostile.wire import Wire, head, send
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.structured import load
from recsys_cli.serving.backends.local import LocalServer, listen, log_errors
from recsys_cli.serving.http.app import make_api
from recsys_cli.serving.http.operations import LOG

SPEC = load("env", "interest_evolution").spec
BODY = json.dumps(rank_body()).encode()
GOOD = head(f"content-length: {len(BODY)}") + BODY


def ask(port: int) -> tuple[int, dict[str, str]]:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", "/v1/rank", BODY, {"content-type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something holds, ten seconds at most."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def listening() -> set[tuple[str, int]]:
    """Return the addresses that this process listens at, IPv4 and IPv6, as the kernel writes them."""
    own = {str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()}
    rows = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/self/net/{name}").read_text().splitlines()
    ]
    addresses = [row[1].split(":") for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in own]
    return {(address, int(port, 16)) for address, port in addresses}


@pytest.mark.skipif(not Path("/proc/self/net/tcp").exists(), reason="no /proc")
def test_it_listens_at_one_port_of_this_machine() -> None:
    limits, before = limits_of(), listening()
    with Running(FirstOnes(SPEC, limits), limits) as running:
        assert listening() - before == {("0100007F", running.port)}
        assert ask(running.port)[0] == 200
    assert listening() == before


def test_a_port_that_is_taken_is_one_line() -> None:
    taken = listen("127.0.0.1", 0)
    taken.listen()
    with pytest.raises(ConfigError, match=r"port=\d+: Address already in use; port=0 takes a free port"):
        listen("127.0.0.1", taken.getsockname()[1])
    taken.close()
    with pytest.raises(ConfigError, match=r"host=nowhere\.invalid"):
        listen("nowhere.invalid", 0)


def test_what_is_too_much_at_once_is_turned_away_and_the_rest_answered() -> None:
    limits = limits_of("max_queued=4")
    service = FirstOnes(SPEC, limits, seconds=0.3)
    with Running(service, limits) as running:
        statuses, waits = Counter[int](), list[str | None]()

        def client() -> None:
            status, headers = ask(running.port)
            statuses[status] += 1
            waits.append(headers.get("retry-after"))

        threads = [threading.Thread(target=client) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(statuses) == {200, 503} and statuses[200] >= 4 and statuses[503] == waits.count("1")
        assert service.load.waiting == 0 and ask(running.port)[0] == 200


def test_half_sent_bodies_do_not_keep_others_out() -> None:
    limits = limits_of("max_queued=4", "max_seconds=0.5")
    with Running(FirstOnes(SPEC, limits), limits) as running:

        async def run() -> list[list[int]]:
            half = [Wire("half", [GOOD[:-9], 1.0], (408,)) for _ in range(40)]
            waiting = [asyncio.create_task(send("127.0.0.1", running.port, each)) for each in half]
            await asyncio.sleep(0.2)
            good = await send("127.0.0.1", running.port, Wire("good", [GOOD], (200,)), patience=0.2)
            return [good.statuses, *[(await each).statuses for each in waiting]]

        assert asyncio.run(run()) == [[200], *[[408]] * 40]


def test_a_client_that_reads_no_answers_is_left(caplog: pytest.LogCaptureFixture) -> None:
    limits = limits_of("max_seconds=0.3")
    with (
        Running(FirstOnes(SPEC, limits), limits) as running,
        socket.create_connection(("127.0.0.1", running.port)) as client,
    ):
        client.settimeout(0.2)
        with contextlib.suppress(OSError):  # nothing more fits in, or the server has left
            while True:
                client.sendall(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n" * 50)
        wait_for(lambda: not running.server.server_state.connections)
    assert not caplog.records


def test_too_many_connections_are_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = limits_of()
    monkeypatch.setattr("recsys_cli.serving.backends.local.MAX_CONNECTIONS", 3)
    with Running(FirstOnes(SPEC, limits), limits) as running:
        idle = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(3)]
        with socket.create_connection(("127.0.0.1", running.port)) as another:
            answer = another.recv(10_000)
            assert answer.startswith(b"HTTP/1.1 503 ") and b"retry-after: 1\r\n" in answer
        for each in idle:
            each.close()
        wait_for(lambda: not running.server.server_state.connections)
        assert ask(running.port)[0] == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_after_what_is_being_answered(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    seen = stopped(0.5, [(0.2, number)])
    assert seen == [200]
    assert re.search("a second signal stops at once", capsys.readouterr().err)


def test_a_second_signal_ends_it_at_once() -> None:
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        stopped(60.0, [(0.2, signal.SIGTERM), (0.4, signal.SIGTERM)])
    assert time.monotonic() - began < 10


def test_what_takes_too_long_is_told_that_the_service_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys_cli.serving.backends.local.DRAIN_S", 0.2)
    assert stopped(60.0, [(0.2, signal.SIGTERM)]) == [503]


def test_tracebacks_go_to_a_file_while_it_serves(tmp_path: Path) -> None:
    file = tmp_path / "service" / "errors.log"
    end = log_errors(file)
    try:
        raise ValueError("a detail")
    except ValueError:
        LOG.exception("a request failed")
    end()
    assert "a request failed" in file.read_text() and "ValueError: a detail" in file.read_text()
    assert LOG.propagate and not LOG.handlers


def stopped(seconds: float, signals: list[tuple[float, int]]) -> list[int]:
    """Serve in this thread, with one request that takes so long, until signals come; return what its client saw."""
    limits, seen = limits_of(), list[int]()
    listener = listen("127.0.0.1", 0)

    def client() -> None:
        try:
            seen.append(ask(listener.getsockname()[1])[0])
        except OSError:
            seen.append(0)

    def begin() -> None:
        threading.Thread(target=client, daemon=True).start()
        for delay, number in signals:
            threading.Timer(delay, os.kill, (os.getpid(), number)).start()

    server = LocalServer(make_api(FirstOnes(SPEC, limits, seconds), limits, None), limits, begin)
    try:
        server.run(sockets=[listener])
    finally:
        listener.close()
    time.sleep(0.05)
    return seen
