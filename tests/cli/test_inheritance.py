"""Yamls that take over another's keys, ours or the user's own; and roots that need no problem."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import pytest
import yaml

from recsys_cli.completion.candidates import candidates
from recsys_cli.config import catalog, folders
from recsys_cli.config.paths import conf_dir
from recsys_cli.config.structured import load
from recsys_cli.envs.registration import env_ids, register_envs

EVOLUTION = "# Short sessions\ndefaults: [interest_evolution, _self_]\ntime_budget: 50.0   # a quarter of an hour\n"
PATIENT = (
    "# SlateQ in a good mood\ndefaults:\n  - slateq\n  - _self_\n\n_target_: mine.PatientConfig\n"
    "mood: calm   # calm | busy\nnetwork:\n  scale: 10.0\n"
)
MODULE = (
    "from dataclasses import dataclass\nfrom typing import Any, Literal\n\n"
    "from recsys_cli.algos.slateq.config import SlateQConfig\n"
    "from recsys_cli.config.schema import RootConfig\n\n\n"
    '@dataclass\nclass PatientConfig(SlateQConfig):\n    mood: Literal["calm", "busy"]\n\n\n'
    "@dataclass(frozen=True)\nclass ProbeConfig(RootConfig):\n    env: Any\n    users: int\n"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's folder with a problem, a child of that problem, and an algorithm, all of which take over others."""
    own = tmp_path / "mine"
    files = {
        "env/short.yaml": EVOLUTION,
        "env/shorter.yaml": "# Shorter\ndefaults: [short, _self_]\nnum_topics: 5\n",
        "algo/patient.yaml": PATIENT,
        "mine.py": MODULE,
    }
    for name, text in files.items():
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        (own / name).write_text(text)
    monkeypatch.setenv(folders.VARIABLE, str(own))
    yield own
    folders.forget([own])


def test_train_sees_the_whole(run_cli, folder: Path) -> None:
    config = yaml.safe_load(run_cli("train", "env=shorter", "algo=patient", "--cfg", "job").out)
    plain = yaml.safe_load(run_cli("train", "--cfg", "job").out)
    assert config["env"] == plain["env"] | {"name": "shorter", "time_budget": 50.0, "num_topics": 5}
    network = plain["algo"]["network"] | {"scale": 10.0}
    assert config["algo"] == plain["algo"] | {
        "_target_": "mine.PatientConfig",
        "name": "patient",
        "mood": "calm",
        "network": network,
    }


def test_load_and_gymnasium_see_the_whole(folder: Path) -> None:
    register_envs()
    assert load("env", "shorter") == load("env", "interest_evolution", name="shorter", time_budget=50.0, num_topics=5)
    env = gymnasium.make(dict(env_ids())["shorter"], num_candidates=7)
    assert env.reset(seed=0)[0]["doc"].shape == (7, 5)


def test_list_shows_the_parents_keys_with_the_childs_values(run_cli, folder: Path) -> None:
    lines = [line.split() for line in run_cli("list", "env=shorter").out.splitlines() if line.startswith("  env.")]
    listed = {words[0]: words[1:] for words in lines}
    everything = {f"env.{key.name}" for key in catalog.keys(catalog.option_path("env", "interest_evolution"))}
    assert set(listed) == everything
    assert list(listed)[:2] == ["env.num_topics", "env.time_budget"]
    assert listed["env.name"] == ["shorter"]
    assert listed["env.time_budget"][:2] == ["50.0", "a"]
    assert listed["env.num_topics"][:2] == ["5", "topics;"]


@pytest.mark.parametrize(
    ("line", "some"),
    [
        ("train env=sh", ["env=short", "env=shorter"]),
        ("train env=shorter env.time", ["env.time_budget="]),
        ("train algo=patient algo.mood=", ["algo.mood=calm", "algo.mood=busy"]),
        ("train algo=patient algo.replay=", ["algo.replay=uniform"]),
        ("train algo=patient algo.network.s", ["algo.network.scale="]),
        ("train experiment=tutorial_2022/slateq_satisfaction env.sen", ["env.sensitivity="]),
    ],
)
def test_completion_offers_what_was_taken_over(folder: Path, line: str, some: list[str]) -> None:
    assert set(some) <= {text for text, _ in candidates(line.split(" "))}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "defaults: [interest_evolutoin, _self_]",
            "names 'interest_evolutoin', which is not an option of env. Did you mean",
        ),
        ("defaults: [short, _self_]", "short.yaml: defaults names 'short', which inherits from this file itself"),
        ("defaults: [shorter, _self_]", "defaults names 'short', which inherits from this file itself"),
        (
            "defaults:\n  - /algo: slateq\n  - interest_evolution",
            "names '/algo: slateq', which is not an option of env",
        ),
        ("defaults: [broken]", "broken.yaml, line 1"),
        ("defaults: [interest_evolution]\nname: long", "name=long must be the name of the file, short"),
        ("defaults: [interest_evolution]\nnum_topic: 3", "env.num_topic is unknown. Did you mean 'env.num_topics'?"),
    ],
)
def test_faults_take_one_line_that_names_the_file(run_cli, folder: Path, text: str, expected: str) -> None:
    (folder / "env/broken.yaml").write_text("a: [1")
    (folder / "env/short.yaml").write_text(f"# Short\n{text}\n")
    outcome = run_cli("train", "env=short", "--cfg", "job")
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1), outcome
    assert expected in outcome.err


def test_help_and_completion_survive_a_circle(run_cli, folder: Path) -> None:
    (folder / "env/loop.yaml").write_text("# Loop\ndefaults: [loop, _self_]\na: 1\n")
    assert "env.a " in run_cli("list", "env=loop").out
    assert [text for text, _ in candidates(["train", "env=loop", "env."])] == ["env.a="]


def test_a_root_without_a_problem_leaves_own_problems_as_they_are(
    run_cli, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(conf_dir(), conf)
    (conf / "probe.yaml").write_text(
        "# Probe.\n_target_: mine.ProbeConfig\n\ndefaults:\n  - _self_\n  - optional env: null\n  "
        "- optional experiment: null\n\nusers: 3   # users\n"
    )
    for module in ("catalog", "compose", "own_options"):
        monkeypatch.setattr(f"recsys_cli.config.{module}.conf_dir", lambda: conf)
    from recsys_cli.config.compose import compose

    config = yaml.safe_load(run_cli("train", "env=short", "--cfg", "job").out)
    assert config["env"]["name"] == "short"
    assert load("env", "short").time_budget == 50.0
    assert [text for text, _ in candidates(["probe", "env=short", "env.time"])] == ["env.time_budget="]
    assert compose("probe", ["env=short"]).env == load("env", "short")
    outcome = run_cli("train", "env=[short,shorter]", "--cfg", "job")
    assert "env=[short,shorter]: one option is expected" in outcome.err
