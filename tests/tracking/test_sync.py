"""`recsys sync`, and evaluations that come after the training."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recsys_cli.commands import sync
from recsys_cli.config.errors import ConfigError
from recsys_cli.files import read_json, update_json
from recsys_cli.tracking.folder import append_report
from recsys_cli.tracking.planning import plan_status
from recsys_cli.tracking.references import resolve
from recsys_cli.tracking.syncing import record_evaluation
from recsys_cli.tracking.tracker import Tracker

pytestmark = pytest.mark.xdist_group("mlflow")  # one worker imports MLflow, which takes seconds


@pytest.fixture
def off_seed(output_dir: Path, make_seed: Callable[..., Path], make_bundle: Callable[..., Path]) -> Path:
    """A seed trained with tracking off, that ended without a word after a report and a checkpoint."""
    seed_dir = make_seed()
    settings: dict[str, Any] = {"enabled": False, "uri": None, "experiment": "recsys", "register_model": None}
    with Tracker(seed_dir.parent, say=print, **settings) as tracker:
        tracker.open(seed_dir, params={"a": 1}, tags={"seed": 0})
        tracker.upload_bundle(seed_dir, make_bundle(seed_dir, 50, "best"), "best")
        append_report(seed_dir, 50, 1_700_000_000.0, {"return": 7.0})
        tracker._seeds.clear()  # as after kill -9: nothing closes them
    return seed_dir


def test_a_run_trained_without_mlflow_is_uploaded_and_then_there_is_nothing_to_do(
    off_seed: Path, output_dir: Path, mlflow_db: str, client: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    name = off_seed.parent.name
    words = [name, f"output_dir={output_dir}"]
    with pytest.raises(ConfigError, match=" to="):
        sync.run(words)
    assert sync.run([*words, f"to={mlflow_db}"]) == 0
    line = (
        f"{name}: uploaded to MLflow at {mlflow_db}: seed_0: 1 report, params, tags, checkpoint best, status KILLED\n"
    )
    assert capsys.readouterr().out == line
    run = client.get_run(read_json(off_seed / "seed.json")["mlflow_run_id"])
    assert run.info.status == "KILLED" and run.info.end_time == 1_700_000_000_000, "its last sign of life"
    assert run.data.metrics == {"return": 7.0} and run.data.params == {"a": "1"}
    assert sync.run([str(off_seed.parent), f"output_dir={output_dir}"]) == 0
    assert "nothing to upload" in capsys.readouterr().out


def test_a_seed_that_waited_when_its_driver_died_is_killed(off_seed: Path, mlflow_db: str, client: Any) -> None:
    plan_status(off_seed, "waiting")
    update_json(off_seed / "seed.json", lambda about: about.update(status="waiting"))
    assert sync.run([str(off_seed.parent), f"to={mlflow_db}"]) == 0
    assert client.get_run(read_json(off_seed / "seed.json")["mlflow_run_id"]).info.status == "KILLED"


def test_a_server_away_is_a_failure(off_seed: Path, output_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sync.run([str(off_seed), "to=http://127.0.0.1:1", f"output_dir={output_dir}"]) == 1
    assert "is down: Connection refused; still missing: seed_0: 1 report" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "a run is expected"),
        (["tu=1"], "tu is unknown; allowed: to, output_dir"),
        (["nothing-there"], "sync='nothing-there' was not"),
    ],
)
def test_bad_words(words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        sync.run(words)


def test_an_evaluation_goes_to_the_run_of_its_checkpoint(
    client: Any,
    output_dir: Path,
    tmp_path: Path,
    make_tracker: Callable[..., Tracker],
    make_seed: Callable[..., Path],
    make_bundle: Callable[..., Path],
) -> None:
    seed_dir = make_seed()
    tracker = make_tracker()
    tracker.open(seed_dir, params={}, tags={})
    bundle_dir = make_bundle(seed_dir, 50, "best")
    tracker.upload_bundle(seed_dir, bundle_dir, "best")
    tracker.set_status(seed_dir, "finished")
    results = {"return": {"mean": 5.0}, "steps": 50}
    where: dict[str, Any] = {"uri": None, "output_dir": output_dir}
    assert record_evaluation(bundle_dir, results, **where, file_name="first.json") is None, "training uploads it"
    tracker.close()
    assert record_evaluation(bundle_dir, results, **where, headline={"return": 5.0}, file_name="second.json") is None
    run_id = read_json(seed_dir / "uploaded.json")["run_id"]
    shutil.rmtree(seed_dir.parent)
    cached = resolve(run_id, output_dir, None)
    assert record_evaluation(cached, results, **where, file_name="third.json") is None
    run = client.get_run(run_id)
    names = ("first/return.mean", "second/return", "third/return.mean")
    assert {name: run.data.metrics[name] for name in names} == dict.fromkeys(names, 5.0)
    found = {item.path for item in client.list_artifacts(run_id)}
    assert {"first.json", "second.json", "third.json"} <= found and run.info.status == "FINISHED"
    loose = shutil.copytree(cached, tmp_path / "loose" / "bundle")
    assert "belongs to no run" in str(record_evaluation(loose, results, **where))
