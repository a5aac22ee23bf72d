"""What completion offers, without a shell."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import pytest

from recsys_cli.completion.candidates import candidates
from recsys_cli.config import catalog
from recsys_cli.config.structured import load

CASES = [
    # words typed, some of the candidates, what must not be among them
    ("tr", ["train"], ["list"]),
    ("", ["train", "evaluate", "list", "completion"], ["__complete", "--help"]),
    ("--", ["--help", "--version"], []),
    ("train ", ["env=", "algo=", "experiment=", "seeds=", "evaluation.", "env."], ["env.slate_size=", "experiment."]),
    ("train env", ["env=", "env."], ["algo="]),
    ("train step", ["steps="], ["env="]),
    ("train env=", ["env=interest_evolution", "env=long_term_satisfaction"], []),
    ("train env=int", ["env=interest_evolution"], ["env=long_term_satisfaction"]),
    ("train +env=int", ["+env=interest_evolution"], []),
    ("train +exp", ["+experiment="], []),
    ("train env.num_", ["env.num_candidates="], ["env.slate_size="]),
    ("train env.s", ["env.slate_size="], ["env.sensitivity="]),
    ("train env=long_term_satisfaction env.s", ["env.slate_size=", "env.sensitivity="], []),
    ("train algo.net", ["algo.network."], ["algo.network="]),
    ("train algo.network.", ["algo.network.kind="], ["algo.lr="]),
    ("train algo.network.kind=", ["algo.network.kind=two_tower", "algo.network.kind=concat"], []),
    ("train algo.double_q=", ["algo.double_q=true", "algo.double_q=false"], []),
    ("train progress=r", ["progress=rich"], ["progress=plain"]),
    ("train evaluation.u", ["evaluation.users="], []),
    ("train --", ["--help", "--cfg"], []),
    ("train --cfg ", ["job"], []),
    ("evaluate ", ["checkpoint=", "tracking=", "users=", "env."], ["algo=", "env="]),
    ("evaluate env.sen", ["env.sensitivity="], []),
    ("list env=l", ["env=long_term_satisfaction"], []),
    ("list al", ["algos", "algo="], []),
    ("completion ", ["bash", "fish", "zsh"], []),
    ("help tr", ["train"], []),
]


@pytest.mark.parametrize(("line", "some", "none"), CASES, ids=[line for line, _, _ in CASES])
def test_candidates(line: str, some: list[str], none: list[str]) -> None:
    words = line.split(" ")
    offered = [text for text, _ in candidates(words)]
    assert set(some) <= set(offered)
    assert not set(none) & set(offered)
    assert all(text.startswith(words[-1]) for text in offered)
    assert len(offered) == len(set(offered))


@pytest.mark.parametrize("line", ["nonsense ", "train nothing=", "train env=nothing env.", "train seed=", "list x="])
def test_nothing_is_offered_where_nothing_is_known(line: str) -> None:
    assert candidates(line.split(" ")) == []


@pytest.mark.parametrize("option", catalog.option_names("env"))
def test_every_key_of_a_chosen_option_is_offered_and_exists(option: str) -> None:
    offered = [text for text, _ in candidates(["train", f"env={option}", "env."])]
    env = load("env", option)
    keys = [field.name for field in dataclasses.fields(env) if field.name != "name"]  # it is chosen
    assert set(offered) == {f"env.{key}" + ("." if isinstance(getattr(env, key), dict) else "=") for key in keys}


def test_a_preset_that_chooses_an_option_decides_which_keys_are_offered(tmp_path, monkeypatch) -> None:
    for name, text in {
        "train.yaml": "defaults:\n  - env: plain\n  - optional experiment: null\n",
        "env/plain.yaml": "a: 1\n",
        "env/other.yaml": "b: 1\n",
        "experiment/x.yaml": "# @package _global_\ndefaults:\n  - override /env: other\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(catalog, "conf_dir", lambda: tmp_path)
    assert [text for text, _ in candidates(["train", "env."])] == ["env.a="]
    assert [text for text, _ in candidates(["train", "+experiment=x", "env."])] == ["env.b="]


@pytest.fixture
def runs(tmp_path, monkeypatch) -> None:
    """Three runs and a sweep, the newest named last."""
    monkeypatch.chdir(tmp_path)
    for age, (name, seeds) in enumerate(
        {
            "b_sweep": ["p000-seed_0", "p001-seed_0"],
            "c": ["seed_0", "seed_1"],
            "broken": ["seed_0"],
            "a": ["seed_0"],
        }.items()
    ):
        folder = tmp_path / "runs" / name
        for seed in seeds:
            (folder / seed / "checkpoints" / "step_000000100").mkdir(parents=True)
            (folder / seed / "seed.json").write_text("{}")
        (folder / "run.json").write_text("{" if name == "broken" else '{"algo": "slateq", "env": "sim"}')
        if "sweep" in name:
            (folder / "sweep.json").write_text('{"points": [{"name": "p000"}, {"name": "p001"}]}')
        os.utime(folder, (1_000_000 + age, 1_000_000 + age))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("train resume=", ["a", "broken", "c", "runs/"]),
        ("train resume=b", ["broken"]),
        ("sweep resume=", ["b_sweep", "runs/"]),
        ("train from=", ["a", "broken", "c", "b_sweep/", "runs/"]),
        ("train from=a/", ["a/best", "a/last", "a/seed_0/"]),
        ("train from=b_sweep/", ["b_sweep/best", "b_sweep/p000", "b_sweep/p001"]),
        ("evaluate checkpoint=", ["a", "broken", "c", "b_sweep", "runs/"]),
        ("evaluate checkpoint=a/", ["a/best", "a/last", "a/seed_0/"]),
        ("evaluate checkpoint=c/", ["c/seed_0/", "c/seed_1/"]),
        ("evaluate checkpoint=a/seed_0/", ["a/seed_0/best", "a/seed_0/last", "a/seed_0/step_000000100"]),
        ("register checkpoint=b_sweep/p001", ["b_sweep/p001"]),
        ("train output_dir=elsewhere resume=", ["runs/"]),
    ],
)
def test_runs_are_offered_newest_first(runs: None, line: str, expected: list[str]) -> None:
    key = line.split(" ")[-1].partition("=")[0]
    assert [text for text, _ in candidates(line.split(" "))] == [f"{key}={text}" for text in expected]


def test_runs_are_offered_with_few_words_and_few_imports(runs: None) -> None:
    assert ("resume=a", "slateq on sim") in candidates(["train", "resume="])
    code = "import sys; from recsys_cli.completion import complete; complete(['evaluate', 'checkpoint=']); "
    code += "print(sorted({'numpy', 'torch', 'ray', 'mlflow', 'gymnasium', 'hydra'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]" and "checkpoint=a\t" in done.stdout


def test_paths_are_offered_for_keys_that_hold_paths(tmp_path) -> None:
    (tmp_path / "run_1" / "best").mkdir(parents=True)
    (tmp_path / "run_1" / "result.json").touch()
    (tmp_path / ".hidden").mkdir()
    assert [text for text, _ in candidates(["evaluate", f"checkpoint={tmp_path}/"])] == [
        f"checkpoint={tmp_path}/run_1/"
    ]
    offered = [text for text, _ in candidates(["train", f"resume={tmp_path}/run_1/b"])]
    assert offered == [f"resume={tmp_path}/run_1/best/"]


def test_data_sets_are_offered_by_name(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("data/random_1k", "data/half_made", "logs/mine"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("data/random_1k", "logs/mine"):
        (tmp_path / name / "dataset.yaml").touch()
    for root in ("describe", "train", "sweep", "ope"):
        assert ("data=random_1k", "data set") in candidates([root, "data="])
    assert ("data=mine", "data set") in candidates(["describe", "data_dir=logs", "data=m"])
    offered = [text for text, _ in candidates(["import", "data="])]
    assert "data=logs/" in offered
    assert "data=random_1k" not in offered
    assert "data=half_made" not in [text for text, _ in candidates(["describe", "data=h"])]
