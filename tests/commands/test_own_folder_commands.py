"""A simulator and an algorithm of one's own: trained out of a folder, evaluated and resumed where the folder is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from running import SMOKE, Outcome, Recsys, Trained, read

from recsys_cli.cli import main
from recsys_cli.config import folders
from recsys_cli.config.paths import conf_dir
from recsys_cli.tracking.bundle import read_bundle

pytestmark = pytest.mark.xdist_group("commands")

EXAMPLE = conf_dir().parent / "experiments" / "custom_simulator"
ALGO = """from dataclasses import dataclass

from recsys_cli.algos.slateq.config import SlateQConfig
from recsys_cli.envs.base import EnvConfig


@dataclass
class PatientConfig(SlateQConfig):
    patience: float

    def discount_on(self, env: EnvConfig) -> float:
        return self.patience
"""
TRAIN = (*SMOKE, "env=embedding_feed", "algo=patient", "env.items_in_db=50", "tracking=off", "name=own")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """One training, its problem and its algorithm out of a folder whose name has a space."""
    work = tmp_path_factory.mktemp("work")
    folder = work / "my simulator"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "algo").mkdir()
    slateq = (conf_dir() / "algo" / "slateq.yaml").read_text()
    slateq = slateq.replace("recsys_cli.algos.slateq.config.SlateQConfig", "patient.PatientConfig")
    (folder / "algo" / "patient.yaml").write_text(slateq.replace("name: slateq", "name: patient\npatience: 0.9"))
    (folder / "patient.py").write_text(ALGO)
    recsys = Recsys(work)
    outcome = recsys("--config-dir", "my simulator", "train", *TRAIN)
    assert outcome.code == 0, outcome
    return Trained(recsys, outcome, work / "runs" / "own")


@pytest.fixture
def run(own: Trained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """A function that runs a command line beside the trained run, in this process."""
    monkeypatch.delenv(folders.VARIABLE, raising=False)
    monkeypatch.chdir(own.recsys.folder)

    def call(*words: str) -> Outcome:
        code = main(words)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


def test_it_trains_and_stands_beside_the_baselines(own: Trained) -> None:
    assert "training patient on embedding_feed (C=10, k=3)" in own.outcome.out
    assert "Traceback" not in own.outcome.err
    policies = read(own.seed / "evaluation.json")["policies"]
    assert list(policies) == ["patient", "random"]
    assert 0 < policies["patient"]["quality_per_click"] < 1
    assert own.outcome.out.rstrip().endswith("--config-dir 'my simulator'")


def test_the_run_and_its_checkpoints_keep_where_the_classes_came_from(own: Trained) -> None:
    folder = str(own.recsys.folder / "my simulator")
    about = read(own.run_dir / "run.json")
    assert about["config_path"] == [folder]
    assert about["command"] == ["recsys", "train", *TRAIN, "--config-dir", folder]
    last = own.seed / "checkpoints" / read(own.seed / "checkpoints" / "last.json")["path"]
    assert read_bundle(last).info["config_path"] == [folder]
    assert read_bundle(last).config["env"]["_target_"] == "embedding_feed.EmbeddingFeedConfig"


FEW = ("users=20", "log=false")


@pytest.mark.parametrize("by_variable", [True, False])
def test_evaluate_where_the_folder_is(own: Trained, run, by_variable: bool, monkeypatch, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    words = ["evaluate", "checkpoint=own/last", f"output={out}", *FEW]
    if by_variable:
        monkeypatch.setenv(folders.VARIABLE, "my simulator")
        outcome = run(*words)
    else:
        outcome = run(*words, "--config-dir", "my simulator")
    folders.forget([own.recsys.folder / "my simulator"])
    assert outcome.code == 0, outcome
    found = read(out)["policies"]
    assert list(found) == ["patient", "random", "myopic"]  # it has no oracle
    assert found["patient"] == read(own.seed / "evaluation.json")["policies"]["patient"]
    assert found["myopic"]["return"]["mean"] > found["random"]["return"]["mean"]


def test_the_env_may_change(run) -> None:
    words = ["evaluate", "checkpoint=own/last", *FEW, "--config-dir", "my simulator"]
    assert run(*words, "env.users_in_db=3", "env.slate_size=2").code == 0
    assert "env.user_in_db is unknown" in run(*words, "env.user_in_db=3").err


@pytest.mark.parametrize("words", [["evaluate", "checkpoint=own/last"], ["train", "resume=own"]])
def test_where_the_folder_is_not_one_line_says_what_is_missing(own: Trained, run, words: list[str]) -> None:
    outcome = run(*words)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.count("\n") == 1
    assert "_target_=embedding_feed.EmbeddingFeedConfig is not imported" in outcome.err
    assert "the module 'embedding_feed'" in outcome.err
    assert "--config-dir <folder> or RECSYS_CONFIG_PATH=<folder>" in outcome.err
    assert f"(trained with --config-dir {own.recsys.folder / 'my simulator'})" in outcome.err


def test_a_finished_run_resumes_to_its_evaluation(own: Trained, run) -> None:
    before = read(own.seed / "evaluation.json")["policies"]
    outcome = run("train", "resume=own", "--config-dir", "my simulator")
    assert outcome.code == 0, outcome
    assert "nothing left to train" in outcome.out
    assert read(own.seed / "evaluation.json")["policies"] == before


@pytest.mark.slow
def test_resume_goes_on_with_workers_of_its_own(own: Trained) -> None:
    copy = own.recsys.folder / "runs" / "longer"
    shutil.copytree(own.run_dir, copy)
    words = ("resume=longer", "steps=4000", "resources.env_runners=1", "resources.num_cpus=2")
    outcome = own.recsys("train", *words, "--config-dir", "my simulator")
    assert outcome.code == 0, outcome
    assert "seed_0: continues from" in outcome.out
    assert read(copy / "seed_0" / "checkpoints" / "last.json")["steps"] >= 4000
