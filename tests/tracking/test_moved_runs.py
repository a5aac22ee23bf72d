"""Run folders that were moved, copied, or came from another machine: one rule for all (`tracking.home`)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recsys_cli.commands import sync
from recsys_cli.files import read_json
from recsys_cli.tracking.folder import UPLOADED
from recsys_cli.tracking.local_runs import find
from recsys_cli.tracking.mlflow_client import connect, experiment_id
from recsys_cli.tracking.references import resolve, resolve_run
from recsys_cli.tracking.registering import register_checkpoint
from recsys_cli.tracking.syncing import record_evaluation
from recsys_cli.tracking.tracker import Tracker

pytestmark = pytest.mark.xdist_group("mlflow")  # one worker imports MLflow, which takes seconds

RESULTS: dict[str, Any] = {"return": {"mean": 5.0}, "steps": 50}


@pytest.fixture
def trained(
    output_dir: Path,
    mlflow_db: str,
    make_tracker: Callable[..., Tracker],
    make_seed: Callable[..., Path],
    make_bundle: Callable[..., Path],
) -> Path:
    """The folder of a run with one seed, trained and uploaded."""
    seed_dir = make_seed("k1")
    with make_tracker("k1") as tracker:
        tracker.open(seed_dir, params={"a": 1}, tags={"seed": 0})
        tracker.log(seed_dir, 50, {"return": 7.0})
        tracker.upload_bundle(seed_dir, make_bundle(seed_dir, 50, "best", "last"), "best")
        tracker.set_status(seed_dir, "finished")
    return seed_dir.parent


@pytest.fixture(autouse=True)
def as_in_a_new_process(trained: Path) -> None:
    """Forget where MLflow found the artifacts of runs in this process."""
    from mlflow.tracking._tracking_service import utils

    utils._artifact_repos_cache.clear()


def snapshot(folder: Path) -> dict[str, bytes]:
    """Return every file in a folder, but for SQLite's own."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(("-wal", "-shm"))]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def evaluate(reference: str, output_dir: Path, name: str = "evaluation.json") -> str | None:
    """Do what `recsys evaluate` does with its results."""
    bundle_dir = resolve(reference, output_dir, None)
    return record_evaluation(bundle_dir, RESULTS, uri=None, output_dir=output_dir, file_name=name)


def run_ids(run_dir: Path) -> tuple[str, str]:
    """Return a seed's local id and its MLflow run id."""
    about = read_json(run_dir / "seed_0" / "seed.json")
    return about["id"], about["mlflow_run_id"]


@pytest.mark.parametrize("how", ["moved", "copied", "moved without MLflow", "copied without MLflow"])
def test_an_id_keeps_working_and_nothing_is_written_elsewhere(how: str, trained: Path, tmp_path: Path) -> None:
    ids = run_ids(trained)
    old, new = trained.parent, tmp_path / "b c"
    if "without" in how:
        new.mkdir()
        (shutil.copytree if "copied" in how else shutil.move)(trained, new / "k1")
    else:
        (shutil.copytree if "copied" in how else shutil.move)(old, new)
    before = snapshot(old) if old.exists() else None
    for reference in (*ids, f"{ids[1]}/last", ids[0][:8], "k1"):
        assert evaluate(reference, new) is None
        assert resolve_run(reference, new) == new / "k1"
    done = register_checkpoint(resolve(ids[1], new, None), name="m", alias="champion", uri=None, output_dir=new)
    assert sync.run(["k1", f"output_dir={new}"]) == 0
    assert (snapshot(old) if old.exists() else None) == before, "nothing outside"
    client = connect(f"sqlite:///{new / 'mlflow.db'}")
    run = client.get_run(done.run_id)
    assert run.data.metrics["return"] == 7.0 and run.data.metrics["evaluation/return.mean"] == 5.0
    assert run.info.artifact_uri.startswith((new / "mlartifacts").as_uri())
    assert (done.run_id == ids[1]) == ("without" not in how), "the same run if its database came along"
    shutil.rmtree(new / "k1")
    for reference in (done.run_id, "models:/m@champion"):  # downloaded from the new place
        assert resolve(reference, new, None).is_relative_to(new / ".cache")


def test_a_registered_model_moves_along(trained: Path, tmp_path: Path) -> None:
    register_checkpoint(resolve("k1", trained.parent, None), name="m", alias="a", uri=None, output_dir=trained.parent)
    new = Path(shutil.move(trained.parent, tmp_path / "b"))
    shutil.rmtree(new / "k1")
    assert resolve("models:/m@a", new, None).is_relative_to(new)
    assert not trained.parent.exists()


def test_a_copy_beside_its_original_is_another_run(trained: Path, client: Any) -> None:
    ids, output_dir = run_ids(trained), trained.parent
    copy = Path(shutil.copytree(trained, output_dir / "k2"))
    assert find(ids[0], output_dir, "resume") == find(ids[1], output_dir, "resume") == trained / "seed_0"
    before = client.get_run(ids[1]).to_dictionary()
    assert evaluate("k2", output_dir) is None
    assert client.get_run(ids[1]).to_dictionary() == before
    assert not {*run_ids(copy)} & {*ids}
    own = client.get_run(run_ids(copy)[1])
    assert own.data.metrics["return"] == 7.0 and own.data.metrics["evaluation/return.mean"] == 5.0
    assert find(ids[1], output_dir, "resume") == trained / "seed_0"
    shutil.rmtree(trained)
    assert find(ids[1], output_dir, "resume") == copy / "seed_0", "a former id"


def test_two_copies_of_a_run_from_elsewhere_are_two_runs(trained: Path, tmp_path: Path) -> None:
    ids, new = run_ids(trained), tmp_path / "b"
    for name in ("k1", "k2"):
        shutil.copytree(trained, new / name)
    shutil.rmtree(trained.parent)
    assert evaluate("k1", new) is None and evaluate("k2", new) is None
    found = [run_ids(new / name) for name in ("k1", "k2")]
    assert found[0][0] == ids[0] and not {*found[0]} & {*found[1]}
    assert find(ids[1], new, "resume") == new / "k1" / "seed_0"


def test_a_resumed_run_is_at_home_where_it_is(trained: Path, tmp_path: Path, make_bundle: Callable[..., Path]) -> None:
    ids = run_ids(trained)
    run_dir = Path(shutil.copytree(trained.parent, tmp_path / "b")) / "k1"
    before = snapshot(trained.parent)
    settings: dict[str, Any] = {"enabled": True, "uri": None, "experiment": "recsys", "register_model": None}
    with Tracker(run_dir, say=print, **settings) as tracker:
        tracker.open(run_dir / "seed_0", params={"a": 1}, tags={"seed": 0}, resumed_from=50)
        tracker.log(run_dir / "seed_0", 90, {"return": 8.0})
        tracker.set_status(run_dir / "seed_0", "finished")
    assert snapshot(trained.parent) == before
    assert run_ids(run_dir) == ids
    assert connect(f"sqlite:///{run_dir.parent / 'mlflow.db'}").get_run(ids[1]).data.metrics["return"] == 8.0


def test_a_database_elsewhere_is_used_while_it_is_there(
    tmp_path: Path, trained: Path, client: Any, mlflow_db: str
) -> None:
    """As with one database for several folders of runs."""
    central = tmp_path / "central" / "mlflow.db"
    central.parent.mkdir()
    shutil.copy(trained.parent / "mlflow.db", central)
    assert sync.run(["k1", f"output_dir={trained.parent}", f"to=sqlite:///{central}"]) == 0
    assert read_json(trained / "seed_0" / UPLOADED)["uri"] == f"sqlite:///{central}"
    moved = Path(shutil.move(trained, tmp_path / "b" / "k1"))
    assert evaluate("k1", moved.parent) is None
    assert not (moved.parent / "mlflow.db").exists()
    shutil.rmtree(central.parent)  # as on another machine
    shutil.move(moved, tmp_path / "c" / "k1")
    assert evaluate("k1", tmp_path / "c") is None
    assert not central.parent.exists() and (tmp_path / "c" / "mlflow.db").exists()


def test_to_carries_runs_with_what_is_registered(
    trained: Path, migrated_db: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle_dir = resolve("k1", trained.parent, None)
    register_checkpoint(bundle_dir, name="m", alias="champion", uri=None, output_dir=trained.parent)
    assert evaluate("k1", trained.parent) is None
    other = tmp_path / "other" / "mlflow.db"
    other.parent.mkdir()
    shutil.copy(migrated_db, other)
    words = [f"output_dir={trained.parent}", f"to=sqlite:///{other}"]
    assert sync.run(words) == 0
    client, run_id = connect(f"sqlite:///{other}"), run_ids(trained)[1]
    before = client.get_run(run_id).to_dictionary()
    assert before["data"]["metrics"]["return"] == 7.0 and before["data"]["params"] == {"a": "1"}
    assert {"evaluation.json", "checkpoints"} <= {item.path for item in client.list_artifacts(run_id)}
    assert client.get_model_version_by_alias("m", "champion").run_id == run_id
    capsys.readouterr()
    assert sync.run(words) == 0 and "nothing to upload" in capsys.readouterr().out
    assert client.get_run(run_id).to_dictionary() == before
    assert len(client.search_model_versions("name='m'")) == 1
    assert evaluate("k1", trained.parent, "later.json") is None, "it belongs to the other one now"
    assert "later/return.mean" in client.get_run(run_id).data.metrics


def test_an_experiment_shows_its_columns_and_keeps_what_a_person_chose(trained: Path, client: Any) -> None:
    experiment = client.get_experiment_by_name("recsys")
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    assert "metrics.`eval/return`" in experiment.tags["mlflow.sharedViewState.recsys"]
    client.set_experiment_tag(experiment.experiment_id, "mlflow.experimentKind", "regression")
    assert experiment_id(client, "recsys", "", trained.parent) == experiment.experiment_id
    assert client.get_experiment_by_name("recsys").tags["mlflow.experimentKind"] == "regression"
