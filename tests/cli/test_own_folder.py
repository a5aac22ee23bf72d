"""`--config-dir` and RECSYS_CONFIG_PATH: own options are found everywhere, and their faults reported in one line."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import gymnasium
import pytest

from recsys_cli.completion.candidates import candidates
from recsys_cli.config import folders
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.paths import conf_dir
from recsys_cli.config.structured import load, schema_of
from recsys_cli.envs.registration import env_ids, register_envs

EXAMPLE = conf_dir().parent / "experiments" / "custom_simulator"
ENV = "env=embedding_feed"
YAML, MODULE = "env/embedding_feed.yaml", "embedding_feed.py"
PRESET = (
    "# @package _global_\n# recsys train experiment=feed\n# A preset\ndefaults:\n  - override /env: embedding_feed\n"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's folder with the example's problem, a preset, and an algorithm in a package."""
    monkeypatch.delenv(folders.VARIABLE, raising=False)
    own = tmp_path / "my simulator"
    shutil.copytree(EXAMPLE, own, ignore=shutil.ignore_patterns("__pycache__"))
    write(
        own,
        {
            "experiment/feed.yaml": PRESET,
            "algo/patient.yaml": "# Patient\ndefaults: [slateq, _self_]\n_target_: mine.patient.PatientConfig\n"
            "mood: calm   # calm | busy\n",
            "mine/__init__.py": "",
            "mine/patient.py": "from dataclasses import dataclass\nfrom typing import Literal\n\n"
            "from recsys_cli.algos.slateq.config import SlateQConfig\n\n\n"
            '@dataclass\nclass PatientConfig(SlateQConfig):\n    mood: Literal["calm", "busy"]\n',
        },
    )
    yield own
    folders.forget([own])


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize("place", ["before", "after", "joined", "variable"])
def test_the_folder_may_be_named_anywhere(run_cli, folder: Path, place: str, monkeypatch) -> None:
    words = ["train", ENV, "algo=patient", "algo.mood=busy", "env.num_features=5", "--cfg", "job"]
    match place:
        case "before":
            words = ["--config-dir", str(folder), *words]
        case "after":
            words = [*words, "--config-dir", str(folder)]
        case "joined":
            words = [words[0], f"--config-dir={folder}", *words[1:]]
        case "variable":
            monkeypatch.setenv(folders.VARIABLE, str(folder))
    outcome = run_cli(*words)
    assert outcome.code == 0, outcome
    assert "_target_: embedding_feed.EmbeddingFeedConfig" in outcome.out
    assert "_target_: mine.patient.PatientConfig" in outcome.out
    assert "num_features: 5\n" in outcome.out
    assert "mood: busy\n" in outcome.out


def test_nothing_stays_behind(run_cli, folder: Path) -> None:
    before = dict(os.environ), list(sys.path), set(sys.modules)
    assert run_cli("--config-dir", str(folder), "train", ENV, "--cfg", "job").code == 0
    assert (dict(os.environ), sys.path) == before[:2]
    assert "embedding_feed" not in set(sys.modules) - before[2]
    assert "does not exist" in run_cli("train", ENV, "--cfg", "job").err


def test_two_folders_and_the_variable_add_up(run_cli, folder: Path, tmp_path: Path, monkeypatch) -> None:
    other = tmp_path / "other"
    write(other, {"experiment/other.yaml": PRESET.replace("=feed", "=other")})
    monkeypatch.setenv(folders.VARIABLE, str(other))
    out = run_cli("list", "experiments", "--config-dir", str(folder), "--config-dir", str(folder)).out
    assert {"feed", "other", "quick_look"} <= {line.split()[0] for line in out.splitlines() if line}


def test_a_preset_of_ones_own_may_choose_a_problem_of_ones_own(run_cli, folder: Path) -> None:
    outcome = run_cli("train", "experiment=feed", "--config-dir", str(folder), "--cfg", "job")
    assert "name: embedding_feed" in outcome.out, outcome


def test_list_and_help_tell_own_options(run_cli, folder: Path) -> None:
    own = ("--config-dir", str(folder))
    assert "embedding_feed " in run_cli("list", "envs", *own).out
    assert "env.click_time " in run_cli("list", ENV, *own).out
    assert "patient " in run_cli(*own, "train", "--help").out
    assert "--config-dir <folder>" in run_cli("train", "--help").out
    assert "embedding_feed" not in run_cli("train", "--help").out


@pytest.mark.parametrize(
    ("line", "some"),
    [
        ("--config-dir FOLDER train env=em", ["env=embedding_feed"]),
        ("train --config-dir=FOLDER algo=pa", ["algo=patient"]),
        ("train --config-dir FOLDER env=embedding_feed env.click", ["env.click_time="]),
        ("train --config-dir FOLDER algo=patient algo.mood=", ["algo.mood=calm", "algo.mood=busy"]),
        ("train --config-dir FOLDER algo=patient algo.replay=", ["algo.replay=uniform"]),
        ("train --conf", ["--config-dir"]),
        ("--conf", ["--config-dir"]),
        ("train --config-dir FOLDER/e", ["FOLDER/env/", "FOLDER/experiment/"]),
        ("--config-dir=FOLDER/a", ["--config-dir=FOLDER/algo/"]),
    ],
)
def test_completion(folder: Path, line: str, some: list[str]) -> None:
    words = [word.replace("FOLDER", str(folder)) for word in line.split(" ")]
    assert {text.replace("FOLDER", str(folder)) for text in some} <= {text for text, _ in candidates(words)}


def test_completion_survives_a_module_that_cannot_be_read(folder: Path) -> None:
    (folder / MODULE).write_text("def (")
    assert candidates(["train", "--config-dir", str(folder), ENV, "env.click_time="]) == []


def test_gymnasium_knows_own_problems(folder: Path, monkeypatch) -> None:
    monkeypatch.setenv(folders.VARIABLE, str(folder))
    register_envs()
    env = gymnasium.make(dict(env_ids())["embedding_feed"], num_features=4)
    assert env.reset(seed=0)[0]["doc"].shape == (10, 4)
    assert load("env", "embedding_feed", items_in_db=20).items_in_db == 20


def replaced(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return change


CASES = [
    # the folder's own faults: file, what becomes of its text (None: it is new and holds the last), what is reported
    (YAML, replaced("num_features: 16", "num_features: [16"), ["embedding_feed.yaml, line"]),
    (YAML, lambda text: "just words", ["embedding_feed.yaml holds no keys"]),
    (YAML, lambda text: "a: \udcff", ["embedding_feed.yaml cannot be read"]),
    (YAML, replaced("_target_:", "target:"), ["embedding_feed.yaml: _target_ is missing"]),
    (YAML, replaced("name: embedding_feed", "name: feed"), ["name=feed must be the name of the file, embedding_feed"]),
    (YAML, replaced("click_time: 1.0", "click_tim: 1.0"), ["env.click_tim is unknown", "'env.click_time'"]),
    (YAML, replaced("num_features: 16", "num_features: many"), ["env.num_features=many: an integer is expected"]),
    (YAML, replaced("num_features: 16", "num_features: 0"), ["env.num_features=0 must be at least 1"]),
    (YAML, replaced("FeedConfig", "FeedConf"), ["has no class EmbeddingFeedConf", "'EmbeddingFeedConfig'"]),
    (YAML, replaced("FeedConfig", "FeedVectorEnv"), ["EmbeddingFeedVectorEnv is not a dataclass"]),
    (YAML, replaced("embedding_feed.Emb", "elsewhere.Emb"), ["is not imported", "the module 'elsewhere'"]),
    (YAML, replaced("embedding_feed.Emb", "os.path.Emb"), ["is not imported", "the module 'os.path'"]),
    (YAML, replaced("embedding_feed.Emb", "mine/../embedding_feed.Emb"), ["is not imported"]),
    (YAML, replaced("embedding_feed.EmbeddingFeed", "mine.patient.Patient"), ["does not derive from", "EnvConfig"]),
    (MODULE, replaced("@dataclass", ""), ["is not a dataclass: decorate it with @dataclass in ", "embedding_feed.py"]),
    (MODULE, replaced("(EnvConfig)", "(EnvConfig"), ["embedding_feed.py, line 27: invalid syntax"]),
    (
        MODULE,
        replaced("import numpy", "import nonsuch, numpy"),
        ["feed.py, line 12: module 'nonsuch' is not"],
    ),
    (MODULE, replaced("Floats = ", "Floats = 1 / 0, "), ["embedding_feed.py, line ", "ZeroDivisionError"]),
    (MODULE, replaced("num_features: Count", "num_features: Integer"), ["embedding_feed", "NameError", "Integer"]),
    (
        MODULE,
        replaced("        super().__post_init__()", "        self.nothing"),
        ["embedding_feed.py, line ", "nothing"],
    ),
    (
        MODULE,
        replaced("def describe", "def described"),
        ["FeedConfig lacks describe", "envs.base.EnvConfig"],
    ),
    ("env/interest_evolution.yaml", lambda text: "a: 1", ["interest_evolution.yaml already exists: rename yours"]),
    ("experiment/slateq_paper/_setting.yaml", lambda text: "a: 1", ["_setting.yaml already exists"]),
    ("train.yaml", lambda text: "a: 1", ["train.yaml already exists"]),
    (
        "experiment/bare.yaml",
        lambda text: "seed: 1",
        ["bare.yaml: a preset must start with the line '# @package _global_'"],
    ),
    ("envs/feed.yaml", lambda text: "a: 1", ["envs is not a group's folder. Did you mean 'env'?"]),
    ("logging.py", lambda text: "", ["logging.py would hide Python's own module logging"]),
    ("types/__init__.py", lambda text: "", ["types would hide Python's own module types"]),
]


@pytest.mark.parametrize(("name", "change", "expected"), CASES, ids=[f"{c[0]}: {c[2][0]}" for c in CASES])
def test_faults_take_one_line_that_names_the_file(
    run_cli, folder: Path, name: str, change: Callable[[str], str], expected: list[str]
) -> None:
    path = folder / name
    text = change(path.read_text() if path.exists() else "")
    write(folder, {name: ""})
    path.write_bytes(text.encode(errors="surrogateescape"))
    words = ["experiment=bare"] if name == "experiment/bare.yaml" else [ENV]
    outcome = run_cli("train", *words, "--config-dir", str(folder), "--cfg", "job")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("recsys: error: ")
    assert outcome.err.count("\n") == 1, outcome.err
    for part in expected:
        assert part in outcome.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--config-dir"], ["--config-dir: a folder is expected"]),
        (["--config-dir", "nowhere"], ["--config-dir nowhere: there is no folder nowhere"]),
        (
            ["--config-dir", "empty"],
            ["empty holds neither modules nor options", "Groups: algo, debug, env"],
        ),
        (["--config-di", "empty"], ["--config-di is not an option. Did you mean '--config-dir'?"]),
        (["env=embedding_feed"], ["env=embedding_feed does not exist", "Your own are found by --config-dir <folder>"]),
    ],
)
def test_folders_that_are_wrong(run_cli, tmp_path, monkeypatch, words: list[str], expected: list[str]) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    outcome = run_cli("train", *words)
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1)
    assert all(part in outcome.err for part in expected), outcome.err


def test_a_variable_that_names_no_folder(run_cli, monkeypatch) -> None:
    monkeypatch.setenv(folders.VARIABLE, "/nowhere/at/all")
    assert run_cli("list").err == (
        "recsys: error: RECSYS_CONFIG_PATH=/nowhere/at/all: there is no folder /nowhere/at/all\n"
    )


def test_a_module_that_no_folder_holds_is_not_imported(tmp_path: Path, monkeypatch) -> None:
    write(tmp_path, {"trap/__init__.py": "", "trap/door.py": "raise SystemExit('opened')"})
    monkeypatch.syspath_prepend(str(tmp_path))  # Python would find it
    monkeypatch.delenv(folders.VARIABLE, raising=False)
    with pytest.raises(ConfigError, match="is not imported"):
        schema_of("trap.door.Config")
    assert not {"trap", "trap.door"} & set(sys.modules)


def test_a_class_of_ones_own_may_not_come_from_elsewhere(folder: Path, tmp_path: Path, monkeypatch) -> None:
    write(tmp_path, {"faraway.py": "from dataclasses import dataclass\n\n\n@dataclass\nclass Config:\n    a: int\n"})
    write(folder, {"shim.py": "from faraway import Config\n"})
    monkeypatch.syspath_prepend(str(tmp_path))
    with folders.using([str(folder)]), pytest.raises(ConfigError, match="comes from faraway, which is not in a folder"):
        schema_of("shim.Config")


def test_another_module_of_the_same_name_is_not_taken_for_ones_own(folder: Path) -> None:
    write(folder, {"pytest/__init__.py": "", "pytest/env.py": "raise SystemExit"})
    with folders.using([str(folder)]), pytest.raises(ConfigError, match="there is another module 'pytest'"):
        schema_of("pytest.env.Config")


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("hydra:\n  run: {dir: /nowhere}", "'hydra' cannot be set in a preset"),
        ("defaults:\n  - override /hydra/job_logging: none", "'override /hydra/job_logging: none' cannot be set"),
        ("_target_: mine.Config", "'_target_' cannot be set in a preset"),
        ("env: {name: foo}", "'env.name' cannot be set in a preset"),
        ("from: a/best", "from=a/best: where a training starts is said on the command line"),
        ("resume: a", "resume=a: which run to continue is said on the command line"),
    ],
)
def test_a_preset_says_nothing_that_is_dropped(run_cli, folder: Path, text: str, refused: str) -> None:
    write(folder, {"experiment/own.yaml": f"# @package _global_\n# Own\n{text}\n"})
    outcome = run_cli("train", "experiment=own", "--config-dir", str(folder), "--cfg", "job")
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1), outcome
    assert refused in outcome.err
