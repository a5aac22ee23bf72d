"""Starting Ray on this machine: few processes, none of them left, and one line if it fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import ray

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.structured import load
from recsys_cli.runs import QUIET, local_ray, session
from recsys_cli.runs.tune import trial_resources

SESSION = """
import os, sys
from recsys_cli.runs import local_ray
import ray
local_ray.start(2, workers=1, preload=["json.tool"])

@ray.remote
def modules():
    import sys
    return "json.tool" in sys.modules

print(ray.get(modules.remote()), os.getpid(), flush=True)
sys.stdin.readline()
"""


def children(pid: int) -> list[int]:
    """Return the ids of all processes below one."""
    found, parents = [], {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            after = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if after[0] != "Z":
            parents[int(stat.parent.name)] = int(after[1])
    for child, parent in parents.items():
        if parent == pid:
            found += [child, *children(child)]
    return found


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes()]


def gone(pids: list[int], seconds: float = 15.0) -> bool:
    end = time.monotonic() + seconds
    while alive(pids) and time.monotonic() < end:
        time.sleep(0.1)
    return not alive(pids)


@pytest.fixture
def no_ray_yet() -> None:
    """End the Ray that tests before may have left for tests to come, which start it again."""
    ray.shutdown()


def test_few_processes_that_imported_what_they_need_and_none_left_after_a_kill() -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", SESSION], **pipes)  # type: ignore[call-overload]
    try:
        assert process.stdout.readline().split() == ["True", str(process.pid)]
        below = children(process.pid)
        # GCS, raylet, two stand-ins and a worker; Ray's own start makes five Python processes more.
        assert len(below) <= 6
        assert {os.getpgid(pid) for pid in below}.isdisjoint({os.getpgid(process.pid)})
        assert {os.getpriority(os.PRIO_PROCESS, pid) for pid in below} == {os.getpriority(os.PRIO_PROCESS, 0)}
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert gone(below)


@pytest.mark.usefixtures("no_ray_yet")
def test_a_failed_start_is_one_line_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[local_ray.LocalNode] = []

    def never(*_: object) -> None:
        if local_ray.LocalNode.last is not None and not started:
            started.append(local_ray.LocalNode.last)
        raise RuntimeError("not yet")

    monkeypatch.setattr(local_ray.services, "get_node", never)
    monkeypatch.setattr(local_ray, "LIMIT_S", 1)
    with pytest.raises(ConfigError, match=r"^Ray cannot start: no answer within 1 s.*resources=inline$"):
        local_ray.start(1)
    processes = [process.process.pid for each in started[0].all_processes.values() for process in each]
    assert gone(processes)
    assert not ray.is_initialized()


@pytest.mark.usefixtures("no_ray_yet")
def test_a_process_that_ends_at_once_is_noticed_with_its_last_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_there(*_: object) -> None:
        raise RuntimeError("not yet")  # what Ray's own function says after 30 s

    monkeypatch.setattr(local_ray.services, "get_node", not_there)
    monkeypatch.setattr(local_ray.subprocess, "list2cmdline", lambda words: "")  # no workers' command
    with pytest.raises(ConfigError, match=r"ended at once; its last error: .*command should be provided"):
        local_ray.start(1)


def test_ray_is_told_to_be_quiet_before_it_is_imported() -> None:
    # Where `uv run` started the command, Ray would otherwise start its workers by it too, and fail in other folders.
    code = "import recsys_cli.runs.callbacks, ray; print(ray._private.ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV)"
    environ = {name: value for name, value in os.environ.items() if name not in QUIET}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize(("trials", "workers"), [(1, 2), (3, 6), (9, 8)])
def test_a_local_ray_has_the_cpus_and_workers_of_the_trials_at_a_time(
    monkeypatch: pytest.MonkeyPatch, trials: int, workers: int
) -> None:
    started: dict[str, object] = {}
    monkeypatch.setattr("recsys_cli.config.resources.machine_cpus", lambda: 8)
    monkeypatch.setattr(local_ray, "start", lambda cpus, **more: started.update(cpus=cpus, **more))
    resources = load("resources", "laptop", env_runners=1)
    session.begin(resources, trials, 1, print)
    assert (started["cpus"], started["workers"]) == (8, workers)
    one = load("resources", "laptop", env_runners=1, concurrent_trials=1)
    for seeds in (1, 2):
        session.begin(one, trials, seeds, print)
        assert started["cpus"] == started["workers"] == one.cpus_per_trial(seeds)
        assert sum(bundle["CPU"] for bundle in trial_resources(one, seeds).bundles) == one.cpus_per_trial(seeds)


@pytest.mark.parametrize("words", [{"inline": True}, {"ray_address": "10.0.0.1:6379"}])
def test_nothing_is_started_in_this_process_or_on_a_cluster(
    monkeypatch: pytest.MonkeyPatch, words: dict[str, object]
) -> None:
    monkeypatch.setattr(local_ray, "start", lambda *_, **__: pytest.fail("started"))
    session.begin(load("resources", "laptop", **words), 1, 1, print)


def test_a_ray_that_runs_already_is_refused_and_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "shutdown", lambda: pytest.fail("ended another's Ray"))
    with pytest.raises(ConfigError, match="a Ray runs in this process already"):
        session.begin(load("resources", "laptop"), 1, 1, print)
