"""A training's reports are in the journal at once and in MLflow exactly once."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys_cli.config.errors import ConfigError
from recsys_cli.files import read_json, read_jsonl
from recsys_cli.tracking.bundle import read_bundle
from recsys_cli.tracking.tracker import Tracker

pytestmark = pytest.mark.xdist_group("mlflow")  # one worker imports MLflow, which takes seconds
MODEL_FILES = {
    "MLmodel",
    "conda.yaml",
    "python_env.yaml",
    "requirements.txt",
    "input_example.json",
    "serving_input_example.json",
}

TAGS = {"command": "recsys train env=interest_evolution", "git_commit": "c0ffee", "seed": 0, "versions": {"ray": "2"}}


def history(client: Any, seed_dir: Path, name: str) -> list[tuple[int, float]]:
    """Return the points MLflow has of a seed's metric, as (steps, value)."""
    points = client.get_metric_history(read_json(seed_dir / "seed.json")["mlflow_run_id"], name)
    return sorted((point.step, point.value) for point in points)


def run_of(client: Any, folder: Path) -> Any:
    return client.get_run(read_json(folder / "uploaded.json")["run_id"])


def test_one_seed_from_start_to_end(
    client: Any, make_tracker: Callable[..., Tracker], make_seed: Callable[..., Path], make_bundle: Callable[..., Path]
) -> None:
    seed_dir, tracker = make_seed(), make_tracker(register_model="slates")
    params = {"env": {"slate_size": 2, "long": "x" * 7000}, **{f"p{index}": index for index in range(250)}}
    (seed_dir.parent / "config.yaml").write_text("tracking: {uri: http://me:secret@mlflow:5000}\n")
    tracker.open(seed_dir, params=params, tags=TAGS)
    for step in (10, 20, 30):
        tracker.log(seed_dir, step, {"return": step / 2, "loss": math.nan, "q": math.inf, "odd:name [%]": 1.0})
    assert [row["steps"] for row in read_jsonl(seed_dir / "metrics.jsonl")] == [10, 20, 30]
    tracker.upload_bundle(seed_dir, make_bundle(seed_dir, 30, "best", "last", state=True), "best")
    results = {"return": {"mean": 170.5, "interval": [1, 2]}, "env": "a", "users": 2000}
    tracker.log_evaluation(seed_dir, results, arrays={"slateq": np.arange(3.0)})
    tracker.set_status(seed_dir, "finished")
    assert tracker.close() == [] and tracker.said == []  # type: ignore[attr-defined]

    run = run_of(client, seed_dir)
    assert run.info.run_id == read_json(seed_dir / "seed.json")["mlflow_run_id"]
    assert (run.info.status, run.info.run_name) == ("FINISHED", seed_dir.parent.name)
    assert "mlflow.parentRunId" not in run.data.tags
    assert run.data.tags["command"] == TAGS["command"] and run.data.tags["versions.ray"] == "2"
    assert len(run.data.params) == 252 and run.data.params["env.slate_size"] == "2"
    assert run.data.params["env.long"] == "x" * 6000
    assert history(client, seed_dir, "return") == [(10, 5.0), (20, 10.0), (30, 15.0)]
    assert history(client, seed_dir, "loss") == history(client, seed_dir, "q") == []
    assert len(history(client, seed_dir, "odd:name ___")) == 3
    assert history(client, seed_dir, "evaluation/return.mean") == [(30, 170.5)]
    place = run.data.tags["checkpoint.best"]
    files = {item.path.removeprefix(f"{place}/") for item in client.list_artifacts(run.info.run_id, place)}
    assert files == {"recsys.yaml", "policy.safetensors", *MODEL_FILES}, "the best needs no training state"
    assert {"evaluation.json", "evaluation.npz"} <= {item.path for item in client.list_artifacts(run.info.run_id)}
    import mlflow

    config = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/config.yaml")
    assert config == "tracking: {uri: http://***@mlflow:5000}\n"
    assert client.get_model_version("slates", "1").source.endswith(place)


def test_several_seeds_are_nested_and_the_best_is_registered(
    client: Any, make_tracker: Callable[..., Tracker], make_seed: Callable[..., Path], make_bundle: Callable[..., Path]
) -> None:
    tracker = make_tracker(register_model="slates")
    seeds = [make_seed(seed=seed) for seed in range(3)]
    for seed, seed_dir in enumerate(seeds):
        tracker.open(seed_dir, params={"seed": seed}, tags={**TAGS, "seed": seed}, parent=seed_dir.parent)
        value = [1.0, 3.0, 9.0][seed]
        tracker.upload_bundle(seed_dir, make_bundle(seed_dir, 10, "best", value=value), "best")
        tracker.set_status(seed_dir, ["finished", "finished", "failed"][seed])
    assert tracker.close() == []
    parent = run_of(client, seeds[0].parent)
    assert parent.info.status == "FAILED" and "seed" not in parent.data.tags
    runs = [run_of(client, seed_dir) for seed_dir in seeds]
    assert [run.info.status for run in runs] == ["FINISHED", "FINISHED", "FAILED"]
    assert {run.data.tags["mlflow.parentRunId"] for run in runs} == {parent.info.run_id}
    assert runs[1].info.run_name == f"{seeds[1].parent.name}/seed_1"
    versions = client.search_model_versions("name='slates'")
    assert [version.run_id for version in versions] == [runs[1].info.run_id], "the failed one does not count"
    assert len(client.search_runs([parent.info.experiment_id])) == 4


@pytest.mark.parametrize(("error", "status"), [(RuntimeError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_the_status_is_true_when_training_ends_by_an_error(
    client: Any, output_dir: Path, make_seed: Callable[..., Path], error: type[BaseException], status: str
) -> None:
    seed_dir = make_seed()
    settings: dict[str, Any] = {"enabled": True, "uri": None, "experiment": "recsys", "register_model": None}

    def train() -> None:
        with Tracker(seed_dir.parent, say=print, **settings) as tracker:
            tracker.open(seed_dir, params={}, tags={})
            raise error

    with pytest.raises(error):
        train()
    run = run_of(client, seed_dir)
    assert run.info.status == status and run.info.end_time is not None


def test_older_checkpoints_do_not_pile_up(
    client: Any, make_tracker: Callable[..., Tracker], make_seed: Callable[..., Path], make_bundle: Callable[..., Path]
) -> None:
    from recsys_cli.tracking.mlflow_tracker import MlflowUploader

    seed_dir = make_seed()
    tracker = make_tracker(upload_training_state=True)
    tracker.open(seed_dir, params={}, tags={})
    uploader = MlflowUploader(str(tracker.uri), seed_dir.parent.parent)

    def places() -> set[str]:
        with tracker._background.paused():  # type: ignore[union-attr]
            uploader.sync(seed_dir)
        run = run_of(client, seed_dir)
        found = {item.path for item in client.list_artifacts(run.info.run_id, "checkpoints")}
        assert found == {value for key, value in run.data.tags.items() if key.startswith("checkpoint.")}
        return {path.rpartition("-")[0].removeprefix("checkpoints/") for path in found}

    for alias in ("best", "last"):
        tracker.upload_bundle(seed_dir, make_bundle(seed_dir, 10, alias, state=True), alias)
    assert places() == {"step_000000010"}
    run = run_of(client, seed_dir)
    state = client.list_artifacts(run.info.run_id, f"{run.data.tags['checkpoint.last']}/training_state")
    assert [Path(item.path).name for item in state] == ["state.json"]
    tracker.upload_bundle(seed_dir, make_bundle(seed_dir, 20, "last"), "last")
    assert places() == {"step_000000010", "step_000000020"}
    tracker.upload_bundle(seed_dir, make_bundle(seed_dir, 30, "last"), "last")
    assert places() == {"step_000000010", "step_000000030"}
    tracker.upload_bundle(seed_dir, seed_dir / "checkpoints" / "step_pruned", "last")
    assert places() == {"step_000000010", "step_000000030"}, "a pruned checkpoint does not stop the rest"


def test_tracking_off_keeps_the_journal_and_imports_no_mlflow(output_dir: Path) -> None:
    code = """
import sys
from pathlib import Path
from recsys_cli.tracking.tracker import Tracker
run_dir = Path(sys.argv[1])
settings = {"enabled": False, "uri": None, "experiment": "recsys", "register_model": "m"}
with Tracker(run_dir, say=print, **settings) as tracker:
    tracker.open(run_dir / "seed_0", params={"a": 1}, tags={})
    tracker.log(run_dir / "seed_0", 10, {"return": 1.0})
    tracker.set_status(run_dir / "seed_0", "finished")
print("mlflow" in sys.modules)
"""
    command = [sys.executable, "-c", code, str(output_dir / "off")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n" and done.stderr == ""
    assert read_jsonl(output_dir / "off" / "seed_0" / "metrics.jsonl")[0]["metrics"] == {"return": 1.0}
    assert not (output_dir / "mlflow.db").exists()


def test_a_killed_training_resumes_its_mlflow_run_and_logs_each_step_once(
    client: Any, output_dir: Path, make_tracker: Callable[..., Tracker], make_seed: Callable[..., Path]
) -> None:
    seed_dir = make_seed()
    code = """
import sys, time
from pathlib import Path
from recsys_cli.files import read_json
from recsys_cli.tracking.tracker import Tracker
seed_dir = Path(sys.argv[1])
settings = {"enabled": True, "uri": None, "experiment": "recsys", "register_model": None}
tracker = Tracker(seed_dir.parent, say=print, **settings)
tracker.open(seed_dir, params={"steps": 100, "lr": 0.1}, tags={"seed": 0})
for step in range(10, 60, 10):
    tracker.log(seed_dir, step, {"return": float(step)})
while read_json(seed_dir / "uploaded.json", {}).get("rows") != 5:
    time.sleep(0.02)
print("uploaded", flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code, str(seed_dir)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "uploaded\n"
        with pytest.raises(ConfigError, match="in use by another process"):
            make_tracker()
        os.kill(process.pid, signal.SIGKILL)
    first = run_of(client, seed_dir).info
    assert first.status == "RUNNING"

    tracker = make_tracker()
    tracker.open(seed_dir, params={"steps": 200, "lr": 0.1, "new": 1}, tags={"seed": 0}, resumed_from=30)
    assert [row["steps"] for row in read_jsonl(seed_dir / "metrics.jsonl")] == [10, 20, 30]
    for step in range(40, 80, 10):
        tracker.log(seed_dir, step, {"return": float(step)})
    tracker.set_status(seed_dir, "finished")
    assert tracker.close() == []
    run = run_of(client, seed_dir)
    assert run.info.run_id == first.run_id and run.info.status == "FINISHED"
    assert history(client, seed_dir, "return") == [(step, float(step)) for step in range(10, 80, 10)]
    assert [row["steps"] for row in read_jsonl(seed_dir / "metrics.jsonl")] == list(range(10, 80, 10))
    assert run.data.params == {"steps": "100", "lr": "0.1", "new": "1"}, "MLflow never changes a param"
    assert run.data.tags["resumed.steps"] == "200"


def test_a_new_seed_waits_for_no_upload(make_tracker: Callable[..., Tracker], make_seed: Callable[..., Path]) -> None:
    seed_dir, tracker = make_seed(), make_tracker()
    with tracker._background.paused():  # type: ignore[union-attr]
        opened = threading.Thread(
            target=tracker.open, args=(seed_dir,), kwargs={"params": {}, "tags": {}, "resumed_from": 0}
        )
        opened.start()
        opened.join(20)
        assert not opened.is_alive()


@pytest.mark.parametrize("reopened", [False, True])
@pytest.mark.parametrize("before", [(10, 20, 30), (10,)])
def test_a_seed_that_begins_again_without_a_word_logs_each_step_once(
    client: Any,
    make_tracker: Callable[..., Tracker],
    make_seed: Callable[..., Path],
    reopened: bool,
    before: tuple[int, ...],
) -> None:
    seed_dir, tracker = make_seed(), make_tracker()
    tracker.open(seed_dir, params={}, tags={})
    for step in before:
        tracker.log(seed_dir, step, {"return": float(step)})
    if reopened:
        tracker.close()
        tracker = make_tracker()
        tracker.open(seed_dir, params={}, tags={})
    else:
        while read_json(seed_dir / "uploaded.json", {}).get("rows") != len(before):
            time.sleep(0.02)
    for step in (10, 20, 30, 40):
        tracker.log(seed_dir, step, {"return": step + 0.5})
    assert tracker.close() == []
    assert [row["metrics"]["return"] for row in read_jsonl(seed_dir / "metrics.jsonl")] == [10.5, 20.5, 30.5, 40.5]
    known = [(step, float(step)) for step in before]  # MLflow cannot forget them
    assert history(client, seed_dir, "return") == [
        *known,
        *((s, s + 0.5) for s in (10, 20, 30, 40) if s not in before),
    ]


def test_a_finished_run_that_goes_on_is_running_again(
    client: Any, make_tracker: Callable[..., Tracker], make_seed: Callable[..., Path]
) -> None:
    seed_dir = make_seed()
    for status in ("stopped", "finished"):
        tracker = make_tracker()
        tracker.open(seed_dir, params={}, tags={}, resumed_from=0)
        tracker._background.wake(seed_dir)  # type: ignore[union-attr]
        while read_json(seed_dir / "uploaded.json", {}).get("status") != "RUNNING":
            pass
        assert run_of(client, seed_dir).info.status == "RUNNING"
        tracker.set_status(seed_dir, status)
        tracker.close()
    assert run_of(client, seed_dir).info.status == "FINISHED"
    assert len(client.search_runs([run_of(client, seed_dir).info.experiment_id])) == 1


@pytest.mark.parametrize("forgotten", ["uploaded.json", "rows"])
def test_what_was_sent_but_not_remembered_is_not_doubled(
    client: Any, make_tracker: Callable[..., Tracker], make_seed: Callable[..., Path], forgotten: str
) -> None:
    seed_dir = make_seed()
    for start in (0, 50):
        tracker = make_tracker()
        tracker.open(seed_dir, params={"a": 1}, tags={})
        for step in range(start, start + 50, 10):
            tracker.log(seed_dir, step, {"return": float(step), "clicks": 1.0})
        tracker.close()
        if forgotten == "rows":  # killed after the answer of MLflow, before it was written down
            uploaded = read_json(seed_dir / "uploaded.json")
            (seed_dir / "uploaded.json").write_text(json.dumps({**uploaded, "rows": 0, "bytes": 0, "params": {}}))
        elif start == 0:
            (seed_dir / "uploaded.json").unlink()
    tracker = make_tracker()
    tracker.open(seed_dir, params={"a": 1}, tags={})
    assert tracker.close() == []
    assert history(client, seed_dir, "return") == [(step, float(step)) for step in range(0, 100, 10)]
    assert len(client.search_runs([run_of(client, seed_dir).info.experiment_id])) == 1


def test_two_thousand_reports_catch_up_in_few_calls(
    client: Any, make_tracker: Callable[..., Tracker], make_seed: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    from recsys_cli.tracking import folder

    calls: list[int] = []
    original = MlflowClient.log_batch

    def count(self: Any, run_id: str, metrics: Any = (), **rest: Any) -> None:
        calls.extend([len(metrics)] * bool(metrics))
        original(self, run_id, metrics=metrics, **rest)

    monkeypatch.setattr(MlflowClient, "log_batch", count)
    seed_dir = make_seed()
    lines = [json.dumps({"steps": step, "time": 1.0 + step, "metrics": {"a": 1.0}}) for step in range(2000)]
    (seed_dir / folder.JOURNAL).write_text("\n".join(lines) + "\n")
    tracker = make_tracker()
    tracker.open(seed_dir, params={}, tags={})
    tracker.close()
    assert calls == [1000, 1000]
    assert len(history(client, seed_dir, "a")) == 2000


def test_a_first_training_that_makes_the_database_prints_nothing(migrated_db: Path) -> None:
    assert read_json(migrated_db.with_name("printed.json")) == {"printed": ""}
    first = read_json(migrated_db.parent / "making" / "first" / "seed_0" / "uploaded.json")
    assert first["status"] == "FINISHED" and first["params"] == {"a": 1}


def test_mlflow_is_not_imported_before_the_first_report(output_dir: Path) -> None:
    code = """
import sys
from pathlib import Path
from recsys_cli.tracking.tracker import Tracker
run_dir = Path(sys.argv[1])
settings = {"enabled": True, "uri": None, "experiment": "recsys", "register_model": None}
tracker = Tracker(run_dir, say=print, **settings)
tracker.open(run_dir / "seed_0", params={}, tags={})
print(sorted({"mlflow", "torch", "ray"} & set(sys.modules)))
"""
    command = [sys.executable, "-c", code, str(output_dir / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_address_that_is_none_is_refused_at_once(make_tracker: Callable[..., Tracker]) -> None:
    with pytest.raises(
        ConfigError, match=r"tracking\.uri='htp://host' is not an MLflow address.*Did you mean 'http'\?"
    ):
        make_tracker(uri="htp://host")


def test_the_bundle_in_mlflow_is_the_one_on_disk(
    client: Any, make_tracker: Callable[..., Tracker], make_seed: Callable[..., Path], make_bundle: Callable[..., Path]
) -> None:
    seed_dir, tracker = make_seed(), make_tracker()
    tracker.open(seed_dir, params={}, tags={})
    bundle_dir = make_bundle(seed_dir, 10, "best")
    tracker.upload_bundle(seed_dir, bundle_dir, "best")
    tracker.close()
    run = run_of(client, seed_dir)
    local = Path(client.download_artifacts(run.info.run_id, run.data.tags["checkpoint.best"]))
    there, here = read_bundle(local).tensors["arms.pulls"], read_bundle(bundle_dir).tensors["arms.pulls"]
    assert (there == here).all() and (here == 10).all()
