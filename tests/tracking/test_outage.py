"""MLflow is down: training continues, nothing is lost, nothing comes twice, and it is reported once."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from recsys_cli.config.errors import ConfigError
from recsys_cli.files import read_json
from recsys_cli.tracking import background
from recsys_cli.tracking.bundle import read_bundle
from recsys_cli.tracking.mlflow_tracker import MlflowUploader
from recsys_cli.tracking.references import resolve
from recsys_cli.tracking.syncing import sync_run
from recsys_cli.tracking.tracker import Tracker

pytestmark = pytest.mark.xdist_group("mlflow")  # one worker imports MLflow, which takes seconds


def until(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    """Wait for a condition; a bound for a test that would hang, not a measurement."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at the next report."""
    monkeypatch.setattr(background, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(background, "LONGEST_PAUSE", 0.02)


LAUNCHER = """
import os, signal, sys
from mlflow.server import constants
folder, port = sys.argv[1], int(sys.argv[2])
for name in (constants.BACKEND_STORE_URI_ENV_VAR, constants.REGISTRY_STORE_URI_ENV_VAR):
    os.environ[name] = f"sqlite:///{folder}/server.db"
os.environ[constants.ARTIFACT_ROOT_ENV_VAR] = "mlflow-artifacts:/"
os.environ[constants.ARTIFACTS_DESTINATION_ENV_VAR] = f"{folder}/artifacts"
os.environ[constants.SERVE_ARTIFACTS_ENV_VAR] = "true"
import uvicorn
from mlflow.server.fastapi_app import app
child = 0
for line in sys.stdin:
    if line == "start\\n":
        child = os.fork()
        if child == 0:
            uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")
            os._exit(0)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    print("done", flush=True)
"""


class Server:
    """MLflow's own server in a process of its own, killed and started again at will; imported once for both."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        command = [sys.executable, "-c", LAUNCHER, str(folder), str(port)]
        self._log = (folder / "server.log").open("wb")
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        self.uri = f"http://127.0.0.1:{port}"
        self._on = False

    def start(self) -> None:
        self._send("start")
        self._on = True
        until(self._answers)

    def kill(self) -> None:
        if self._on:
            self._send("kill")
        self._on = False

    def end(self) -> None:
        self.kill()
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def _send(self, word: str) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n", (self.folder / "server.log").read_text()

    def _answers(self) -> bool:
        with suppress(OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
            return bool(answer.status == 200)
        return False


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server, imported once for all tests."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    found = Server(tmp_path_factory.mktemp("server"), port)
    yield found
    found.end()


@pytest.fixture
def server(launched: Server, migrated_db: Path) -> Iterator[Server]:
    """A server without runs, not yet started."""
    for left in launched.folder.glob("server.db*"):  # and the journal of a killed one
        left.unlink()
    (launched.folder / "server.db").write_bytes(migrated_db.read_bytes())
    yield launched
    launched.kill()


def test_a_server_that_comes_goes_and_comes_again_gets_everything_once(
    tmp_path: Path,
    server: Server,
    make_tracker: Callable[..., Tracker],
    make_seed: Callable[..., Path],
    make_bundle: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from recsys_cli.tracking.mlflow_client import connect

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    uri = server.uri
    seed_dir = make_seed()
    steps = iter(range(10, 100_000, 10))

    def uploaded(name: str) -> Any:
        return read_json(seed_dir / "uploaded.json", {}).get(name)

    tracker = make_tracker(uri=uri, register_model="slates")
    said: list[str] = tracker.said  # type: ignore[attr-defined]

    def report_until(condition: Callable[[], Any]) -> None:
        until(lambda: tracker.log(seed_dir, next(steps), {"return": 1.0}) or condition())

    tracker.open(seed_dir, params={"a": 1}, tags={})
    report_until(lambda: said)
    assert "Connection refused" in said[0] and "is down" in said[0]
    server.start()
    report_until(lambda: uploaded("rows"))
    first_run = uploaded("run_id")
    report_until(lambda: len(said) == 2)
    assert said[1].endswith("answers again")
    server.kill()
    report_until(lambda: len(said) == 3)
    for _ in range(20):
        tracker.log(seed_dir, next(steps), {"return": 1.0})
    tracker.upload_bundle(seed_dir, make_bundle(seed_dir, 50, "best", "last"), "best")
    tracker.log_evaluation(seed_dir, {"return": {"mean": 7.0}})
    tracker.set_status(seed_dir, "finished")
    missing = tracker.close()
    assert len(missing) == 1 and "checkpoint best, evaluation, model version, status FINISHED" in missing[0]
    assert len(said) == 4 and "recsys sync" in said[3] and all("\n" not in line for line in said)
    failed = sync_run(seed_dir.parent, None)
    assert failed.error is not None and failed.missing

    server.start()
    synced = sync_run(seed_dir.parent, None)
    assert synced.error is None and synced.missing == [] and uploaded("run_id") == first_run
    client = connect(uri)
    run = client.get_run(first_run)
    points = client.get_metric_history(first_run, "return")
    assert sorted(point.step for point in points) == list(range(10, next(steps), 10))
    assert run.info.status == "FINISHED" and run.data.metrics["evaluation/return.mean"] == 7.0
    assert len(client.search_runs([run.info.experiment_id])) == 1
    for reference in (first_run, f"{first_run}/best", "models:/slates/1"):
        bundle_dir = resolve(reference, tmp_path / "elsewhere", uri)
        assert read_bundle(bundle_dir).info == {"steps": 50}
        assert read_json(bundle_dir.parent / "evaluation.json") == {"return": {"mean": 7.0}}

    tracker = make_tracker(uri=uri)  # the artifacts of a server can be replaced too
    tracker.open(seed_dir, params={"a": 1}, tags={})
    for steps in (60, 70):
        place = f"checkpoints/{make_bundle(seed_dir, steps, 'last').name}"
        tracker.upload_bundle(seed_dir, seed_dir / place, "last")
        until(lambda place=place: uploaded("bundles").get("last", "").startswith(place))  # type: ignore[misc]
    tracker.close()
    places = [item.path for item in client.list_artifacts(first_run, "checkpoints")]
    assert len(places) == 2, "the registered best and the last"
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_eight_seeds_at_once_outlive_a_server_killed_in_the_middle(
    server: Server,
    make_tracker: Callable[..., Tracker],
    make_seed: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from recsys_cli.tracking.mlflow_client import connect

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    uri = server.uri
    seeds = [make_seed(seed=seed) for seed in range(8)]
    tracker = make_tracker(uri=uri)
    said: list[str] = tracker.said  # type: ignore[attr-defined]
    steps = iter(range(1, 100_000))

    def report() -> int:
        step = next(steps)
        for seed, folder in enumerate(seeds):
            tracker.log(folder, step, {"return": float(seed)})
        return step

    def has_rows(folder: Path) -> bool:
        return bool(read_json(folder / "uploaded.json", {}).get("rows"))

    for seed, folder in enumerate(seeds):
        tracker.open(folder, params={"seed": seed}, tags={}, parent=folder.parent)
    server.start()
    until(lambda: report() and all(has_rows(folder) for folder in seeds))
    server.kill()
    until(lambda: report() and any("is down" in line for line in said))
    server.start()
    until(lambda: report() and said[-1].endswith("answers again"))
    for folder in seeds:
        tracker.set_status(folder, "finished")
    assert tracker.close() == []

    client, last = connect(uri), next(steps)
    for seed, folder in enumerate(seeds):
        run = client.get_run(read_json(folder / "uploaded.json")["run_id"])
        points = client.get_metric_history(run.info.run_id, "return")
        assert sorted(point.step for point in points) == list(range(1, last))
        assert {point.value for point in points} == {float(seed)} and run.info.status == "FINISHED"


class Flaky:
    """Makes two calls of the MLflow client in five fail, before or after they took effect."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, after: bool) -> None:
        from mlflow import MlflowClient

        self.failures = 0
        self._random = random.Random(1)
        for name in ("log_batch", "create_run", "set_tag", "set_terminated", "log_artifact", "create_model_version"):
            monkeypatch.setattr(MlflowClient, name, self._wrap(getattr(MlflowClient, name), after))

    def _wrap(self, real: Callable[..., Any], after: bool) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            fails = self._random.random() < 0.4
            self.failures += fails
            if fails and not after:
                raise ConnectionError("lost on the way there")
            answer = real(*args, **kwargs)
            if fails:
                raise ConnectionError("lost on the way back")
            return answer

        return call


@pytest.mark.parametrize("after", [False, True])
def test_calls_that_fail_at_any_point_lose_and_double_nothing(
    client: Any,
    make_tracker: Callable[..., Tracker],
    make_seed: Callable[..., Path],
    make_bundle: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    after: bool,
) -> None:
    seed_dir = make_seed()
    flaky = Flaky(monkeypatch, after=after)
    tracker = make_tracker(register_model="slates")
    tracker.open(seed_dir, params={f"p{index}": index for index in range(120)}, tags={"seed": 0})
    for step in range(10, 100, 10):
        tracker.log(seed_dir, step, {"return": float(step)})
    tracker.upload_bundle(seed_dir, make_bundle(seed_dir, 50, "best"), "best")
    tracker.log_evaluation(seed_dir, {"return": 7.0})
    tracker.set_status(seed_dir, "finished")
    tracker.close()
    for _ in range(50):
        if not sync_run(seed_dir.parent, None).missing:
            break
    assert flaky.failures > 4
    experiment = client.get_experiment_by_name("recsys").experiment_id
    (run,) = client.search_runs([experiment])
    steps = [point.step for point in client.get_metric_history(run.info.run_id, "return")]
    assert sorted(steps) == list(range(10, 100, 10))
    assert len(run.data.params) == 120 and run.data.tags["seed"] == "0" and run.info.status == "FINISHED"
    assert len(client.get_metric_history(run.info.run_id, "evaluation/return")) == 1
    assert len(client.search_model_versions("name='slates'")) == 1


def test_a_hanging_server_holds_nothing_up(
    mlflow_db: str,
    make_tracker: Callable[..., Tracker],
    make_seed: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import threading

    released, entered = threading.Event(), threading.Event()

    def hang(self: Any, folder: Path) -> None:
        entered.set()
        released.wait(30)

    monkeypatch.setattr(MlflowUploader, "sync", hang)
    seed_dir, tracker = make_seed(), make_tracker()
    tracker.open(seed_dir, params={}, tags={})
    tracker.log(seed_dir, 0, {"return": 1.0})
    assert entered.wait(30)
    for step in range(1, 5):
        tracker.log(seed_dir, step, {"return": 1.0})
    missing = tracker.close(timeout=0.1)
    assert not released.is_set() and "5 reports" in missing[0]
    released.set()


def test_pauses_grow_and_the_end_does_not_wait_for_them(
    mlflow_db: str,
    make_tracker: Callable[..., Tracker],
    make_seed: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(background, "FIRST_PAUSE", 1000.0)
    monkeypatch.setattr(background, "LONGEST_PAUSE", 3000.0)
    attempts: list[Path] = []
    seed_dir = make_seed()

    def fail(self: Any, folder: Path) -> None:
        if folder == seed_dir:  # and not the thread that an earlier test left waiting for its server
            attempts.append(folder)
        raise ConnectionError("away\nwith a second line")

    monkeypatch.setattr(MlflowUploader, "sync", fail)
    tracker = make_tracker()
    tracker.open(seed_dir, params={}, tags={})
    tracker.log(seed_dir, 0, {"return": 1.0})
    until(lambda: attempts)
    for step in range(1, 50):
        tracker.log(seed_dir, step, {"return": 1.0})
    assert len(attempts) == 1
    tracker.set_status(seed_dir, "finished")
    tracker.close()
    assert len(attempts) == 2
    said = tracker.said  # type: ignore[attr-defined]
    assert len(said) == 2 and "(away)" in said[0]


def test_sync_refuses_what_it_cannot_do(output_dir: Path, make_seed: Callable[..., Path]) -> None:
    seed_dir = make_seed()
    with pytest.raises(ConfigError, match="holds nothing that was tracked"):
        sync_run(seed_dir.parent, None)
    settings: dict[str, Any] = {"experiment": "recsys", "register_model": None, "say": print}
    with Tracker(seed_dir.parent, enabled=False, uri=None, **settings) as tracker:
        tracker.open(seed_dir, params={}, tags={})
        with pytest.raises(ConfigError, match="in use by another process"):
            sync_run(seed_dir.parent, "http://127.0.0.1:1")
    with pytest.raises(ConfigError, match=r"tracking=off.*: upload it first with .* to="):
        sync_run(seed_dir.parent, None)
    with Tracker(seed_dir.parent, enabled=True, uri="http://me:secret@127.0.0.1:1", **settings) as tracker:
        tracker.open(seed_dir, params={"tracking": {"uri": "http://me:secret@127.0.0.1:1"}}, tags={})
    with pytest.raises(ConfigError, match="password is not kept"):
        sync_run(seed_dir.parent, None)
    for path in seed_dir.parent.rglob("*.json"):
        assert "secret" not in path.read_text()
