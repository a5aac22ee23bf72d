"""`recsys fit-simulator` as a user runs it: log, simulator, training, evaluation; and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from recsys_cli.cli import main
from recsys_cli.config import folders

pytestmark = pytest.mark.xdist_group("fitted")  # one simulator, and what a first test trained in it


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with a log and a simulator."""
    folder = tmp_path_factory.mktemp("fit")
    before = Path.cwd()
    os.chdir(folder)
    try:
        small = ["env.num_topics=4", "env.time_budget=40", "env.slate_size=2", "env.num_candidates=5"]
        assert main(["record", "name=log", "env=interest_evolution", *small, "episodes=200", "tracking=off"]) == 0
        assert main(["fit-simulator", "data=log", "name=my_users", "sessions=200"]) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def here(fitted: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(fitted)
    return fitted


def test_a_simulator_is_an_option_like_any_other(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = ["--config-dir", "simulators"]
    assert main(["list", *own, "env=my_users"]) == 0
    assert "Learned from log: interest_evolution, 200 sessions" in capsys.readouterr().out
    quick = [
        "resources=inline",
        "tracking=off",
        "steps=3000",
        "evaluation.users=50",
        "evaluation.every=0",
        "name=trained",
    ]
    assert main(["train", *own, "env=my_users", "algo=linucb", *quick]) == 0
    assert main(["record", *own, "name=again", "env=my_users", "episodes=20", "tracking=off"]) == 0
    evaluate = ["evaluate", "checkpoint=trained/seed_0/last", "users=20", "log=false"]
    assert main([*evaluate, *own]) == 0
    capsys.readouterr()
    assert main(evaluate) == 2
    said = capsys.readouterr().err
    assert "env.tensors=my_users.safetensors" in said and f"(trained with --config-dir {here}" in said
    assert said.count("\n") == 1
    folders.forget([here / "simulators"])


def test_what_is_written(here: Path) -> None:
    report = json.loads((here / "simulators" / "my_users.json").read_text())
    assert report["sessions"]["fitted"] + report["sessions"]["held_out"] == 200
    assert report["policy"] == "the policy that logged"
    assert {check["name"] for check in report["checks"]} >= {"return", "steps", "clicks a step", "quality of a click"}
    assert report["verdict"] and (here / "simulators" / "my_users.svg").stat().st_size > 1000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data=log", "name=my_users"], "name=my_users: env=my_users already exists"),
        (["data=log", "name=interest_evolution"], "env=interest_evolution already exists"),
        (["data=log", "name=My-Users"], "name=My-Users must be lower-case letters"),
        (["data=nowhere", "name=others"], "data=nowhere is no data set"),
        (["data=log", "name=others", "choice=guess"], "choice=guess"),
        (["data=log", "name=others", "rows=1"], "rows=1"),
        (["name=others"], "data is required"),
    ],
)
def test_bad_requests_end_in_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(["fit-simulator", *words]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not (here / "simulators" / "env" / "others.yaml").exists()


def test_a_simulator_fitted_again_is_not_taken_for_the_old_one(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tensors = here / "simulators" / "env" / "my_users.safetensors"
    content = tensors.read_bytes()
    try:
        tensors.write_bytes(content + b" ")
        assert main(["evaluate", "checkpoint=trained/seed_0/last", "users=20", "--config-dir", "simulators"]) == 2
        assert "it was fitted again, or is damaged" in capsys.readouterr().err
    finally:
        tensors.write_bytes(content)
