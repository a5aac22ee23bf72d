"""Every form of reference finds the checkpoint it names, or says in one line what there is."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recsys_cli.config.errors import ConfigError
from recsys_cli.files import read_json, update_json
from recsys_cli.tracking.bundle import read_bundle
from recsys_cli.tracking.local_runs import spell_bundle
from recsys_cli.tracking.references import resolve, resolve_run
from recsys_cli.tracking.tracker import Tracker

pytestmark = pytest.mark.xdist_group("mlflow")  # one worker imports MLflow, which takes seconds

MLFLOW_ID = "abcdef0123456789abcdef0123456789"


@pytest.fixture
def seed_dir(make_seed: Callable[..., Path], make_bundle: Callable[..., Path]) -> Path:
    """A seed with a best (50) and a last (100) checkpoint, known to MLflow by `MLFLOW_ID`."""
    folder = make_seed()
    make_bundle(folder, 50, "best")
    make_bundle(folder, 100, "last")
    update_json(folder / "seed.json", lambda seed: seed.update(mlflow_run_id=MLFLOW_ID))
    return folder


def references(seed_dir: Path) -> dict[str, str]:
    """Return every form that names the seed, without alias."""
    seed_id = read_json(seed_dir / "seed.json")["id"]
    return {
        "seed folder": str(seed_dir),
        "run folder": str(seed_dir.parent),
        "checkpoints folder": str(seed_dir / "checkpoints"),
        "trailing slash": f"{seed_dir}/",
        "run name": seed_dir.parent.name,
        "run name/seed": f"{seed_dir.parent.name}/{seed_dir.name}",
        "run name prefix": seed_dir.parent.name[:20],
        "local id": seed_id,
        "local id prefix": seed_id[:6],
        "MLflow id": MLFLOW_ID,
        "MLflow id prefix": MLFLOW_ID[:8],
    }


@pytest.mark.parametrize(
    "form",
    [
        *("seed folder", "run folder", "checkpoints folder", "trailing slash", "run name", "run name/seed"),
        *("run name prefix", "local id", "local id prefix", "MLflow id", "MLflow id prefix"),
    ],
)
def test_every_local_form(seed_dir: Path, output_dir: Path, form: str) -> None:
    reference = references(seed_dir)[form]
    said: list[str] = []
    for alias, steps in {"": 50, "/best": 50, "/last": 100, "/step_000000100": 100}.items():
        whole = f"{reference.rstrip('/')}{alias}" if alias else reference
        found = resolve(whole, output_dir, None, said.append)
        assert read_bundle(found).info == {"steps": steps}
    assert resolve_run(reference, output_dir) == seed_dir.parent
    assert said == [] and not (output_dir / "mlflow.db").exists()


def test_a_bundle_itself_and_relative_paths(
    seed_dir: Path, output_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle_dir = seed_dir / "checkpoints" / "step_000000100"
    assert resolve(str(bundle_dir), output_dir, None) == bundle_dir
    assert resolve_run(str(bundle_dir), output_dir) == seed_dir.parent
    monkeypatch.chdir(seed_dir)
    assert resolve("checkpoints/step_000000100", output_dir, None) == bundle_dir
    assert resolve(".", output_dir, None).name == "step_000000050"
    assert resolve_run(".", output_dir) == seed_dir.parent
    copied = shutil.copytree(bundle_dir, tmp_path / "copied")
    monkeypatch.chdir(tmp_path)
    assert resolve("copied", Path("nowhere"), None) == copied


def test_local_references_import_neither_mlflow_nor_torch(seed_dir: Path, output_dir: Path) -> None:
    code = "import sys, pathlib; from recsys_cli.tracking.references import resolve\n"
    code += "resolve(sys.argv[1], pathlib.Path(sys.argv[2]), None)\n"
    code += "print(sorted({'mlflow', 'torch', 'ray', 'hydra'} & set(sys.modules)))"
    command = [sys.executable, "-c", code, MLFLOW_ID, str(output_dir)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_run_with_several_seeds_asks_for_one(
    seed_dir: Path, output_dir: Path, make_seed: Callable[..., Path], make_bundle: Callable[..., Path]
) -> None:
    other = make_seed(seed=1)
    make_bundle(other, 70, "best")
    name = seed_dir.parent.name
    with pytest.raises(ConfigError, match=f"has 2 seeds; name one: {name}/seed_0, {name}/seed_1"):
        resolve(name, output_dir, None)
    assert resolve(f"{name}/seed_1", output_dir, None).name == "step_000000070"
    assert resolve_run(name, output_dir) == seed_dir.parent


def test_a_prefix_of_two_runs_is_refused_with_both_names(
    seed_dir: Path, output_dir: Path, make_seed: Callable[..., Path]
) -> None:
    other = make_seed(name="20261123-220000-interest_evolution-dqn-aaaa")
    with pytest.raises(ConfigError, match=f"matches {seed_dir.parent.name}, {other.parent.name}"):
        resolve("20261123", output_dir, None)
    with pytest.raises(ConfigError, match="resume='20261123' matches"):
        resolve_run("20261123", output_dir)


def test_it_falls_back_to_a_whole_checkpoint_and_says_so(
    seed_dir: Path, output_dir: Path, make_bundle: Callable[..., Path]
) -> None:
    said: list[str] = []
    checkpoints = seed_dir / "checkpoints"
    shutil.rmtree(checkpoints / "step_000000050")
    assert resolve(str(seed_dir), output_dir, None, said.append).name == "step_000000100"
    (checkpoints / "last.json").write_text("{torn")
    (checkpoints / ".tmp-host-1-01234567-step_000000300").mkdir()
    make_bundle(seed_dir, 200)
    assert resolve(f"{seed_dir}/last", output_dir, None, said.append).name == "step_000000200"
    assert "has no 'best' checkpoint; using last, step_000000100" in said[0]
    assert "has no 'last' checkpoint; using the newest, step_000000200" in said[1]
    with pytest.raises(ConfigError, match="has no checkpoint 'step_7'; it has step_000000100, step_000000200"):
        resolve(f"{seed_dir}/step_7", output_dir, None)
    shutil.rmtree(checkpoints)
    with pytest.raises(ConfigError, match="has no checkpoint yet"):
        resolve(str(seed_dir), output_dir, None)


@pytest.mark.parametrize("reference", ["abcdee01", "20261123-211500-interest_evolution-slatq-3f2a", "", "no/such", "'"])
def test_not_found_says_what_was_tried_and_what_there_is(seed_dir: Path, output_dir: Path, reference: str) -> None:
    for look_up in (lambda: resolve(reference, output_dir, None), lambda: resolve_run(reference, output_dir)):
        with pytest.raises(ConfigError, match="was not found") as caught:
            look_up()
        message = str(caught.value)
        assert "\n" not in message and f"Most recent: {seed_dir.parent.name}" in message
        assert ("Did you mean" in message) == (reference[:3] == "202")
    assert not (output_dir / "mlflow.db").exists(), "asking makes no database"


def test_a_server_that_is_away_is_told(seed_dir: Path, output_dir: Path) -> None:
    with pytest.raises(ConfigError, match=r"MLflow at http://127\.0\.0\.1:1 did not answer: Connection refused"):
        resolve("f" * 32, output_dir, "http://127.0.0.1:1")


def test_what_only_mlflow_has_is_downloaded_once(
    client: Any,
    output_dir: Path,
    tmp_path: Path,
    make_tracker: Callable[..., Tracker],
    make_seed: Callable[..., Path],
    make_bundle: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tracker = make_tracker(register_model="slates")
    seed_dir = make_seed()
    seed_id = read_json(seed_dir / "seed.json")["id"]
    tracker.open(seed_dir, params={}, tags={}, parent=seed_dir.parent)
    tracker.upload_bundle(seed_dir, make_bundle(seed_dir, 50, "best", state=True), "best")
    tracker.upload_bundle(seed_dir, make_bundle(seed_dir, 100, "last", state=True), "last")
    tracker.set_status(seed_dir, "finished")
    assert tracker.close() == []
    run_id = read_json(seed_dir / "uploaded.json")["run_id"]
    parent_id = read_json(seed_dir.parent / "uploaded.json")["run_id"]
    shutil.rmtree(seed_dir.parent)

    expected = {run_id: 50, f"{run_id}/best": 50, f"{run_id}/last": 100, f"{run_id}/step_000000100": 100}
    expected |= {seed_id: 50, f"{seed_dir.parent.name}/seed_0/last": 100, parent_id: 50}
    expected |= {"models:/slates/1": 50, "models:/slates/latest": 50}
    for reference, steps in expected.items():
        found = resolve(reference, output_dir, None)
        assert read_bundle(found).info == {"steps": steps}
        assert found.is_relative_to(output_dir / ".cache") and found.parent.name == run_id
    assert len(list((output_dir / ".cache").rglob("recsys.yaml"))) == 2
    assert not list((output_dir / ".cache").rglob("training_state"))
    monkeypatch.setattr("mlflow.artifacts.download_artifacts", lambda *_, **__: pytest.fail("downloaded again"))
    assert resolve(run_id, output_dir, None).is_dir()

    for reference in ("models:/slates/7", "models:/nothing/1"):
        with pytest.raises(ConfigError, match="was not found; registered: models:/slates/1"):
            resolve(reference, output_dir, None)
    with pytest.raises(ConfigError, match="models are named"):
        resolve("models:/slates", output_dir, None)
    client.set_tag(run_id, "checkpoint.best", "../../../etc")
    said: list[str] = []
    assert resolve(run_id, output_dir, None, said.append).name.startswith("step_000000100"), "tags lead nowhere else"
    assert "using last" in said[0]


def test_a_point_of_a_sweep_is_a_checkpoint(
    make_seed: Callable[..., Path], make_bundle: Callable[..., Path], output_dir: Path
) -> None:
    for point in ("p000", "p003"):
        folder = make_seed("sweep").rename(output_dir / "sweep" / f"{point}-seed_0")
        make_bundle(folder, 50, "best")
        make_bundle(folder, 100, "last")
    checkpoints = output_dir / "sweep" / "p003-seed_0" / "checkpoints"
    for reference, name in {"": "50", "/best": "50", "/last": "100", "/step_000000100": "100"}.items():
        assert resolve(f"sweep/p003{reference}", output_dir, None) == checkpoints / f"step_{int(name):09d}"
    assert spell_bundle(checkpoints / "step_000000050", "sweep/p003") == "sweep/p003-seed_0"
    with pytest.raises(ConfigError, match="'sweep/p004' was not found"):
        resolve("sweep/p004", output_dir, None)
