"""Composition of whole configs, and the way into a checkpoint and back."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra

from recsys_cli.config import catalog, structured
from recsys_cli.config.compose import apply_env_overrides, compose
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.schema import EvaluateConfig, TrainConfig

PRESETS = [f"{group}={option}" for group in ("experiment", "debug") for option in catalog.option_names(group)]
PAIRS = list(itertools.product(catalog.option_names("env"), catalog.option_names("algo")))


@pytest.fixture(autouse=True)
def big_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for every preset and every kind of resources."""
    monkeypatch.setattr("recsys_cli.config.resources.machine_cpus", lambda: 64)
    monkeypatch.setattr("recsys_cli.config.resources.machine_gpus", lambda: 8)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000")


def test_defaults_of_train() -> None:
    config = compose("train", [])
    assert isinstance(config, TrainConfig)
    assert (config.env.name, config.algo.name, config.framework.name) == ("interest_evolution", "slateq", "torch")
    assert (config.steps, config.seeds, config.tracking.uri) == (300_000, 1, None)
    assert config.resources.cpus_per_trial() == 1


def test_overrides_win_over_presets_and_presets_over_defaults() -> None:
    plain, preset = compose("train", []), compose("train", ["experiment=quick_look"])
    assert preset.evaluation.users < plain.evaluation.users
    assert preset.evaluation.seed == plain.evaluation.seed
    both = compose("train", ["evaluation.users=7", "experiment=quick_look"])
    assert (both.evaluation.users, both.steps) == (7, preset.steps)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("plus", ["", "+"])
def test_every_preset_composes_and_changes_something(preset: str, plus: str) -> None:
    assert compose("train", [plus + preset]) != compose("train", [])


@pytest.mark.parametrize("preset", PRESETS)
def test_the_command_a_preset_opens_with_composes(preset: str) -> None:
    group, _, option = preset.partition("=")
    program, root, *words = (catalog.example(catalog.option_path(group, option)) or "").split()
    assert program == "recsys"
    assert compose(root, words) == compose("train", [preset])


def test_presets_may_be_switched_off_and_combined() -> None:
    assert compose("train", ["experiment=null", "debug=null"]) == compose("train", [])
    combined = compose("train", ["+experiment=quick_look", "+debug=smoke"])
    assert combined.steps == compose("train", ["debug=smoke"]).steps


@pytest.mark.parametrize(("env", "algo"), PAIRS)
def test_every_pair_composes_or_is_refused_in_one_line(env: str, algo: str) -> None:
    refusal = None
    try:
        config = compose("train", [f"env={env}", f"algo={algo}"])
    except ConfigError as error:
        refusal = str(error)
    if refusal is None:
        assert (config.env.name, config.algo.name) == (env, algo)
    else:
        assert f"algo={algo}" in refusal and "\n" not in refusal


@pytest.mark.parametrize("group", ["framework", "resources", "tracking"])
def test_every_option_of_the_other_groups_composes(group: str) -> None:
    for option in catalog.option_names(group):
        config = compose("train", [f"{group}={option}"])
        assert getattr(config, group) == structured.load(group, option)


def test_an_algorithm_that_refuses_the_env_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(self: Any, env: Any) -> None:
        raise ConfigError(f"algo=slateq cannot do env.slate_size={env.slate_size}")

    monkeypatch.setattr(type(compose("train", []).algo), "check", check, raising=False)
    with pytest.raises(ConfigError, match=r"cannot do env.slate_size=2"):
        compose("train", [])


@pytest.mark.parametrize("words", [[], ["env.num_candidates=12", "algo.lr=1e-5", "seeds=1e1"], ["debug=smoke"]])
def test_train_config_goes_through_yaml_and_comes_back_equal(words: list[str]) -> None:
    config = compose("train", words)
    saved = yaml.safe_load(config.to_yaml())
    assert saved == config.to_dict()
    assert TrainConfig.from_dict(saved) == config


def test_a_saved_config_needs_no_yaml_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = compose("train", ["env=long_term_satisfaction"])
    saved = config.to_dict()
    for module in ("catalog", "compose", "own_options"):
        monkeypatch.setattr(f"recsys_cli.config.{module}.conf_dir", lambda: tmp_path)
    assert TrainConfig.from_dict(saved) == config
    assert structured.build(saved["env"], "env") == config.env
    assert structured.build(saved["algo"], "algo") == config.algo
    assert structured.build(saved["tracking"], "tracking") == config.tracking


def test_values_of_one_key_may_point_to_another() -> None:
    assert compose("train", ["report_every=${steps}", "steps=40_000"]).report_every == 40_000


@pytest.mark.parametrize(
    ("word", "variable", "expected"),
    [
        ("resources.env_runners=${oc.env:RECSYS_TEST}", "3", 3),
        ("resources.env_runners=${oc.env:RECSYS_NOT_SET,4}", "", 4),
        ("resources.concurrent_trials=${oc.env:RECSYS_TEST}", "2", 2),
        ("resources.concurrent_trials=${oc.env:RECSYS_TEST}", "null", None),
        ("algo.network.hidden=${oc.env:RECSYS_TEST}", "[64, 32]", [64, 32]),
        ("algo.network.hidden=[${oc.env:RECSYS_TEST},8]", "16", [16, 8]),
        ("env.num_candidates=${oc.env:RECSYS_TEST}", "[5,20]", [5, 20]),
        ("algo.lr=${oc.env:RECSYS_TEST}", "3e-4", 0.0003),
        ("env.resample_documents=${oc.env:RECSYS_TEST}", "false", False),
        ("steps=${oc.env:RECSYS_TEST}", "1e5", 100_000),
    ],
)
@pytest.mark.parametrize("place", ["command line", "preset"])
def test_variables_of_the_environment_become_values_of_any_type(
    word: str, variable: str, expected: Any, place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RECSYS_TEST", variable)
    words = [word]
    if place == "preset":
        key, _, value = word.partition("=")
        nested = "".join(f"{'  ' * depth}{part}:\n" for depth, part in enumerate(key.split("."))).rstrip("\n")
        (tmp_path / "experiment").mkdir()
        (tmp_path / "experiment/own.yaml").write_text(f"# @package _global_\n{nested} '{value}'\n")
        monkeypatch.setenv("RECSYS_CONFIG_PATH", str(tmp_path))
        words = ["experiment=own"]
    found: Any = compose("train", words).to_dict()
    for part in word.partition("=")[0].split("."):
        found = found[part]
    assert found == expected and type(found) is type(expected)


def test_mlflow_server_takes_its_address_from_the_environment() -> None:
    assert compose("train", ["tracking=mlflow_server"]).tracking.uri == "http://localhost:5000"
    other = compose("train", ["tracking=mlflow_server", "tracking.uri=http://elsewhere:1"])
    assert other.tracking.uri == "http://elsewhere:1"


def test_hydra_is_left_as_it_was() -> None:
    compose("train", [])
    assert not GlobalHydra.instance().is_initialized()


def test_evaluate_splits_off_the_changes_to_the_env() -> None:
    words = ["checkpoint=models:/slateq/3", "env.num_candidates=50", "+env.backend=recsim", "users=1e3"]
    config = compose("evaluate", words)
    assert isinstance(config, EvaluateConfig)
    assert (config.checkpoint, config.users) == ("models:/slateq/3", 1000)
    assert config.env == {"num_candidates": 50, "backend": "recsim"}
    assert compose("evaluate", ["checkpoint=x"]).env == {}


def test_changes_to_a_saved_env_are_put_in() -> None:
    saved = compose("train", []).to_dict()["env"]
    changed = apply_env_overrides(saved, {"num_candidates": 50, "backend": "recsim"})
    assert saved["num_candidates"] == 10
    assert {key: value for key, value in changed.items() if saved[key] != value} == {
        "num_candidates": 50,
        "backend": "recsim",
    }
    assert structured.build(changed, "env").num_candidates == 50


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_candidate": 5}, "env.num_candidate is unknown. Did you mean 'env.num_candidates'?"),
        ({"deep": {"key": 1}}, "env.deep.key is unknown. Keys of env: "),
        ({"_target_": "os.system"}, "env._target_ cannot be set"),
    ],
)
def test_changes_that_a_saved_env_does_not_know_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        apply_env_overrides(compose("train", []).to_dict()["env"], changes)
    assert str(caught.value).startswith(message)
