"""Damaged files of a run: they stop no command about another run, and of their own run as little as possible."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recsys_cli.commands import sync
from recsys_cli.config import notices
from recsys_cli.config.errors import ConfigError
from recsys_cli.files import read_json
from recsys_cli.runs.resume import resumed
from recsys_cli.tracking.local_runs import identifiers, pointed
from recsys_cli.tracking.references import resolve, resolve_run
from recsys_cli.tracking.syncing import record_evaluation
from recsys_cli.tracking.tracker import Tracker

pytestmark = pytest.mark.xdist_group("mlflow")  # one worker imports MLflow, which takes seconds

JUNK = ["", "{", "[1, 2]", "null", '"text"', "\x00\xff"]
RESULTS: dict[str, Any] = {"return": {"mean": 5.0}, "steps": 50}


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "_said", set())


@pytest.fixture
def two_seeds(
    output_dir: Path,
    mlflow_db: str,
    make_tracker: Callable[..., Tracker],
    make_seed: Callable[..., Path],
    make_bundle: Callable[..., Path],
) -> list[Path]:
    """The seeds of a run that MLflow has nothing of yet."""
    seeds = [make_seed(seed=0), make_seed(seed=1)]
    with make_tracker(enabled=False) as tracker:
        for folder in seeds:
            tracker.open(folder, params={}, tags={}, parent=folder.parent)
            tracker.log(folder, 50, {"return": 7.0})
            tracker.log(folder, 60, {"return": 8.0})
            tracker.upload_bundle(folder, make_bundle(folder, 60, "best", "last"), "last")
            tracker.set_status(folder, "finished")
    return seeds


@pytest.mark.parametrize("junk", JUNK)
@pytest.mark.parametrize("name", ["seed.json", "tracking.json", "uploaded.json"])
def test_a_damaged_neighbour_is_skipped_and_reported(
    name: str,
    junk: str,
    output_dir: Path,
    make_seed: Callable[..., Path],
    make_bundle: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    good, bad = make_seed("good"), make_seed("bad")
    make_bundle(good, 50, "best")
    (bad / name).write_text(junk)
    found = read_json(good / "seed.json")["id"]
    assert resolve(found, output_dir, None) == good / "checkpoints" / "step_000000050"
    assert resolve_run(found[:8], output_dir) == good.parent
    assert identifiers(output_dir)["bad"] == bad.parent
    assert capsys.readouterr().err.count(f"{bad / name} is damaged") == 1


def test_sync_uploads_what_is_sound_and_names_the_rest(
    two_seeds: list[Path], output_dir: Path, mlflow_db: str, client: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = two_seeds
    lines = (good / "metrics.jsonl").read_text().splitlines()
    (good / "metrics.jsonl").write_text(f"{lines[0]}\nnonsense\n{lines[1]}\n")
    (bad / "tracking.json").write_text("{")
    words = [good.parent.name, f"output_dir={output_dir}", f"to={mlflow_db}"]
    for _ in range(2):
        assert sync.run(words) == 1
        assert "not uploaded: seed_1: its tracking.json is damaged" in capsys.readouterr().out
    run = client.get_run(read_json(good / "seed.json")["mlflow_run_id"])
    assert run.data.metrics["return"] == 8.0 and run.info.status == "FINISHED"


def test_an_evaluation_is_kept_though_the_run_cannot_be_logged_to(two_seeds: list[Path], output_dir: Path) -> None:
    seed_dir = two_seeds[0]
    (seed_dir / "tracking.json").write_text("[]")
    bundle_dir = resolve(str(seed_dir), output_dir, None)
    problem = record_evaluation(bundle_dir, RESULTS, uri=None, output_dir=output_dir)
    assert problem is not None and "not logged" in problem and "tracking.json is damaged" in problem
    assert read_json(seed_dir / "evaluation.json") == RESULTS


def test_a_resumed_training_makes_a_damaged_plan_anew(
    two_seeds: list[Path], make_tracker: Callable[..., Tracker]
) -> None:
    seed_dir = two_seeds[0]
    (seed_dir / "tracking.json").write_text(json.dumps({"uri": None}))
    with make_tracker(enabled=False) as tracker:
        tracker.open(seed_dir, params={"a": 2}, tags={}, parent=seed_dir.parent)
    assert read_json(seed_dir / "tracking.json")["id"] == read_json(seed_dir / "seed.json")["id"]


@pytest.mark.parametrize("junk", [*JUNK, "{}", '{"path": 1, "steps": 2}', '{"path": "step_000000070", "steps": 70}'])
def test_last_with_a_damaged_pointer_is_the_newest_and_says_so(
    junk: str,
    output_dir: Path,
    make_seed: Callable[..., Path],
    make_bundle: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    seed_dir = make_seed()
    make_bundle(seed_dir, 50, "best")
    newest = make_bundle(seed_dir, 60, "last")
    (newest.parent / "last.json").write_text(junk)
    assert resolve(f"{seed_dir}/last", output_dir, None) == newest
    assert "has no 'last' checkpoint; using the newest, step_000000060" in capsys.readouterr().err
    assert pointed(newest.parent, "last") == {"path": newest.name, "steps": 60}
    (newest.parent / "best.json").write_text(junk)
    assert pointed(newest.parent, "best") is None
    assert resolve(f"{seed_dir}/best", output_dir, None) == newest
    assert "no 'best' checkpoint; using last, step_000000060" in capsys.readouterr().err


@pytest.mark.parametrize("junk", ["", "[1, 2]", "text", "a: [", "{}"])
def test_a_run_whose_config_is_damaged_is_not_resumed(junk: str, tmp_path: Path) -> None:
    (tmp_path / "a" / "seed_0").mkdir(parents=True)
    (tmp_path / "a" / "run.json").write_text("{}")
    (tmp_path / "a" / "config.yaml").write_text(junk)
    with pytest.raises(
        ConfigError, match=r"a cannot be resumed: config\.yaml (holds no settings|cannot be read)[^\n]*$"
    ):
        resumed([f"resume={tmp_path / 'a'}"], "train")
