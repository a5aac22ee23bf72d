"""A real service on either back end: its ports, its end, and on Ray what is killed.

Minutes, most of them Ray's starts.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from serving.bodies import rank_body
from serving.listening import listening, only_here

from experiments.kills.run import alive, descendants

pytestmark = pytest.mark.slow

RECSYS = (sys.executable, "-m", "recsys_cli")
START_S = 240


class Running:
    """`recsys serve`, as a process."""

    def __init__(self, runs: Path, folder: Path, *words: str, variables: dict[str, str] | None = None) -> None:
        self.folder = folder / "services/service"
        command = [*RECSYS, "serve", "checkpoint=chance", f"output_dir={runs}", "port=0", "tracking=off", *words]
        self.output = folder / "output.txt"
        environment = {**os.environ, **(variables or {})}
        with self.output.open("w") as output:
            self.process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
        self.url = ""

    def wait(self) -> Running:
        until(lambda: re.search(r"serving at (\S+)", self.said()) or self.process.poll() is not None, START_S)
        found = re.search(r"serving at (\S+)", self.said())
        assert found, self.said()
        self.url = found[1].replace("0.0.0.0", "127.0.0.1")
        return self

    def said(self) -> str:
        return self.output.read_text()

    def pids(self, pattern: str = "") -> list[int]:
        found = [self.process.pid, *descendants(self.process.pid)]
        return [pid for pid in found if re.search(pattern, command_of(pid))]

    def rank(self, **headers: str) -> dict[str, Any]:
        body = json.dumps(rank_body(event_id="e1")).encode()
        request = urllib.request.Request(self.url + "/v1/rank", body, {"content-type": "application/json", **headers})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    def answers(self) -> bool:
        try:
            return bool(self.rank()["slate"])
        except OSError:
            return False


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def until(true: Callable[[], object], seconds: float) -> float:
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds
        time.sleep(0.05)
    return time.monotonic() - began


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    words = ("train", "algo=random", "name=chance", f"output_dir={folder}", "resources=inline", "tracking=off")
    more = ("steps=1000", "evaluation.users=5", "evaluation.baselines=[]", "progress=off")
    subprocess.run([*RECSYS, *words, *more], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def on_ray(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    running = Running(runs, tmp_path_factory.mktemp("ray"), "serving=ray").wait()
    yield running
    if running.process.poll() is None:
        running.process.kill()


def test_both_back_ends_decide_alike(runs: Path, on_ray: Running, tmp_path: Path) -> None:
    local = Running(runs, tmp_path).wait()
    try:
        assert local.rank() == on_ray.rank()
    finally:
        local.process.terminate()
    assert local.process.wait(30) == 0


def test_on_ray_only_rays_own_ports_can_be_reached_from_other_machines(on_ray: Running) -> None:
    """Which must be firewalled; HTTP, and a port of each replica that unpickles, are for this machine."""
    for pattern, beyond in {
        "bin/haproxy -db": 0,
        r"^ray::ServeReplica": 1,  # all of Ray's workers have one
        r"^ray::ProxyActor": 1,
        r"^ray::HAProxyManager": 1,
        r"^ray::ServeController": 1,
        "raylet/raylet": 2,
        "gcs_server": 1,
        "recsys_cli serve": 1,
    }.items():
        pids = on_ray.pids(pattern)
        assert pids, pattern
        for pid in pids:
            reachable = [found for found in listening([pid]) if not only_here(found[0])]
            assert len(reachable) == beyond, (pattern, reachable)
    port = int(on_ray.url.rpartition(":")[2])
    assert listening(on_ray.pids("bin/haproxy -db")) >= {("127.0.0.1", port)}


def test_locally_the_service_listens_at_one_port(runs: Path, tmp_path: Path) -> None:
    local = Running(runs, tmp_path).wait()
    try:
        assert listening(local.pids()) == {("127.0.0.1", int(local.url.rpartition(":")[2]))}
    finally:
        local.process.terminate()


@pytest.mark.parametrize(
    ("pattern", "silence"),
    [("bin/haproxy -db", 5), ("^ray::HAProxyManager", 5), ("^ray::ServeReplica", 5), ("^ray::ServeController", 2)],
)
def test_what_is_killed_is_started_again_and_the_port_is_open_meanwhile(
    on_ray: Running, pattern: str, silence: float
) -> None:
    before = on_ray.pids(pattern)
    os.kill(before[0], signal.SIGKILL)
    assert until(on_ray.answers, silence) < silence
    until(lambda: len(on_ray.pids(pattern)) == len(before) and before[0] not in on_ray.pids(pattern), 120)
    assert on_ray.answers()
    keeper = on_ray.pids("ray_keeper")
    assert len(keeper) == 1


def test_the_keeper_is_kept_too(on_ray: Running) -> None:
    before = on_ray.pids("ray_keeper")
    os.kill(before[0], signal.SIGKILL)
    until(lambda: on_ray.pids("ray_keeper") not in ([], before), 10)


def test_it_ends_when_told_and_leaves_nothing(on_ray: Running) -> None:
    below = descendants(on_ray.process.pid)
    on_ray.process.terminate()
    assert on_ray.process.wait(60) == 0
    until(lambda: not any(map(alive, below)), 10)
    assert "Traceback" not in on_ray.said()


def test_killed_it_leaves_nothing_and_starts_again(runs: Path, tmp_path: Path) -> None:
    token = {"RECSYS_SERVE_TOKEN": "a-word"}
    first = Running(runs, tmp_path, "serving=ray", "host=0.0.0.0", variables=token).wait()
    below = descendants(first.process.pid)
    first.process.kill()
    first.process.wait()
    until(lambda: not any(map(alive, below)), 60)
    again = Running(runs, tmp_path, "serving=ray", "host=0.0.0.0", "serving.replicas=1", variables=token).wait()
    try:
        assert again.rank(authorization="Bearer a-word")["slate"]
        with pytest.raises(urllib.error.HTTPError, match="401"):
            again.rank()
        assert ("0.0.0.0", int(again.url.rpartition(":")[2])) in listening(again.pids("bin/haproxy -db"))
        assert "a-word" not in (again.folder / "service.yaml").read_text()
    finally:
        again.process.terminate()
    assert again.process.wait(60) == 0


def test_what_keeps_replicas_from_starting_is_said(runs: Path, tmp_path: Path) -> None:
    key = tmp_path / "services/service/key"
    key.parent.mkdir(parents=True)
    key.write_text("no key")
    running = Running(runs, tmp_path, "serving=ray", "serving.replicas=1", "serving.max_replicas=1")
    assert running.process.wait(START_S) == 2
    word = running.said().strip().splitlines()[-1]
    assert word.startswith("recsys: error: Ray Serve cannot start: ") and "key" in word
