"""Trainings that start from a checkpoint: every algorithm, its settings and what it had learned."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trainings import trainings

from recsys_cli.config import catalog
from recsys_cli.config.compose import compose
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.structured import load
from recsys_cli.search.origin import expand
from recsys_cli.tracking.bundle import read_bundle, write_bundle

sys.path.insert(0, str(Path(__file__).parents[1] / "offline"))

from logs import log_of

pytestmark = pytest.mark.usefixtures("no_ray")

SMALL = ("resources=inline", "resources.users_per_runner=8", "tracking=off", "steps=100_000")
LEARNERS = [name for name in catalog.option_names("algo") if name not in ("random", "oracle", "myopic", "greedy_pctr")]
# One of each kind of training, state and network; the others go the same ways.
KINDS = ("slateq", "lspi", "neural_linear", "thompson", "tabular_q", "appo", "sac", "awr")
CHANGED = {
    "slateq": ("algo.network.hidden=[8,4]", "algo.memory=raw", "algo.lr=0.002"),
    "lspi": ("algo.memory=documents", "algo.ridge=0.5"),
    "appo": ("algo.network.kind=concat", "algo.kl_coeff=0.1"),
}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random log."""
    folder = tmp_path_factory.mktemp("logs") / "random"
    log_of(load("env", "interest_evolution", num_candidates=6), folder, users=30)
    return folder


def champion(folder: Path, words: list[str]) -> dict[str, np.ndarray]:
    """Write a bundle whose every number differs from an untrained one's."""
    run = compose("train", words)
    before: dict[str, np.ndarray] = run.algo.make_policy(run.env.spec).tensors()
    tensors = {name: value + 1 if value.dtype.kind == "f" else value for name, value in before.items()}
    write_bundle(folder, config=run.to_dict(), spec=run.env.spec, policy_state=tensors, info={"steps": 5, "seed": 0})
    return tensors


def sources(algo: str, log: Path) -> list[list[str]]:
    """Return the words of the sources that an algorithm learns from."""
    if algo == "tabular_q":  # for small problems only
        return [["env=long_term_satisfaction", "env.num_candidates=4", "env.slate_size=1"]]
    env = ["env=interest_evolution", "env.num_candidates=6"]
    known: Any = load("algo", algo)
    return [words for source, words in (("env", env), ("data", [f"data={log}"])) if source in known.learns_from]


@pytest.mark.parametrize("algo", [pytest.param(a, marks=[] if a in KINDS else pytest.mark.slow) for a in LEARNERS])
def test_a_training_starts_with_the_checkpoints_settings_and_parameters(algo: str, log: Path, tmp_path: Path) -> None:
    before, *others = sources(algo, log)
    tensors = champion(tmp_path / "champion", [*SMALL, *before, f"algo={algo}", *CHANGED.get(algo, ())])
    config = read_bundle(tmp_path / "champion").config
    for source in ([], *others):
        origin = expand([f"from={tmp_path / 'champion'}", *SMALL, *source])
        run = compose("train", origin.words)
        origin.check(run)
        settings = run.to_dict()["algo"]
        assert settings.items() >= {k: v for k, v in config["algo"].items() if k not in run.algo.by_source}.items()
        with trainings(*origin.words) as make:
            training = make()
            training.start_from(read_bundle(tmp_path / "champion").tensors)
            after = training.policy().tensors()
        for name, value in tensors.items():
            np.testing.assert_array_equal(after[name], value, err_msg=name)


def test_targets_begin_as_copies_and_a_critic_anew(tmp_path: Path) -> None:
    kinds = (("slateq", "raw", "target_values.", "net.values."), ("appo", "none", "target_net.", "net."))
    for algo, memory, target, own in kinds:
        words = [*SMALL, f"algo={algo}", f"algo.memory={memory}", "env.num_candidates=6"]
        tensors = champion(tmp_path / algo, words)
        with trainings(*words) as make:
            training = make()
            before = weights_of(training)
            training.start_from(tensors)
            after = weights_of(training)
            runner = training.algorithm.env_runner.module.get_state()
        targets = [name for name in after if name.startswith(target)]
        assert targets
        for name in targets:
            np.testing.assert_array_equal(after[name], after[name.replace(target, own, 1)])
            assert (after[name] != before[name]).any()
        for name in after:
            if name.startswith("critic."):
                np.testing.assert_array_equal(after[name], before[name])
            elif name.startswith("net."):
                np.testing.assert_array_equal(np.asarray(runner[name]), after[name])  # the first chunk is played by it


def test_a_critic_with_memory_begins_anew(tmp_path: Path) -> None:
    words = [*SMALL, "algo=slateq", "algo.memory=none", "env.num_candidates=6"]
    tensors = champion(tmp_path / "champion", words)
    with trainings(*words) as make:
        training = make()
        before = weights_of(training)
        training.start_from(tensors)
        after = weights_of(training)
    for name in after:
        expected = tensors[name.removeprefix("net.")] if name.startswith("net.") else before[name]
        np.testing.assert_array_equal(after[name], expected, err_msg=name)


def weights_of(training: Any) -> dict[str, np.ndarray]:
    state = training.algorithm.learner_group.get_state()["learner"]["rl_module"]["default_policy"]
    return {name: np.array(value) for name, value in state.items()}


def test_lspi_keeps_the_features_and_solves_anew(log: Path, tmp_path: Path) -> None:
    words = [*SMALL, "algo=lspi", f"data={log}"]
    with trainings(*words) as make:
        fresh, training = make(), make()
        tensors = fresh.policy().tensors()
        tensors["features.x"] = tensors["features.x"] + 0.25
        tensors["values.weights"] = tensors["values.weights"] + 1e6
        training.start_from(tensors)
        for each in (fresh, training):
            while not each.settled:
                each.step()
        learned = training.policy().tensors()
        np.testing.assert_array_equal(learned["features.x"], tensors["features.x"])
        assert (fresh.policy().tensors()["features.x"] != tensors["features.x"]).any()
        assert np.abs(learned["values.weights"]).max() < 1e5


def test_lspi_plays_by_its_champion_from_the_first_step(tmp_path: Path) -> None:
    words = [
        *SMALL,
        "algo=lspi",
        "algo.epsilon=0",
        "algo.learning_starts=400",
        "env.num_candidates=6",
        "report_every=400",
    ]
    with trainings(*words) as make:
        champ, training = make(), make()
        champ.step()
        assert training._rule() != training.policy().behaviour
        training.start_from(champ.policy().tensors())
        assert training._rule() == training.policy().behaviour
        training.step()
        training.save(tmp_path / "state")
        restored = make()
        restored.restore(tmp_path / "state")
        assert restored.policy().keeps_basis


def test_what_is_typed_wins_and_another_problem_takes_nothing_of_the_first(log: Path, tmp_path: Path) -> None:
    champion(tmp_path / "c", [*SMALL, "algo=slateq", "algo.lr=0.5", "env.num_candidates=6", "env.slate_size=3"])
    here = f"from={tmp_path / 'c'}"

    def composed(*words: str) -> Any:
        return compose("train", expand([here, *words]).words)

    kept = composed()
    assert (kept.algo.lr, kept.env.num_candidates, kept.env.slate_size) == (0.5, 6, 3)
    typed = composed("algo.lr=0.25", "env.slate_size=1")
    assert (typed.algo.lr, typed.env.num_candidates, typed.env.slate_size) == (0.25, 6, 1)
    other = composed("env=long_term_satisfaction")
    assert (other.env.name, other.env.slate_size, other.algo.lr) == ("long_term_satisfaction", 2, 0.5)
    logged = composed(f"data={log}")
    assert logged.env.simulator is None and logged.env.slate_size == 2
    assert composed(f"data={log}", "env.slate_size=2").env.simulator.num_candidates == 6
    assert composed("algo=cql", f"data={log}").algo.lr != 0.5


def test_a_champion_of_a_log_goes_on_with_it_with_another_or_by_playing(log: Path, tmp_path: Path) -> None:
    champion(tmp_path / "c", [*SMALL, "algo=slateq", f"data={log}"])
    here = f"from={tmp_path / 'c'}"
    again = compose("train", expand([here]).words)
    assert (again.data, again.algo.memory, again.algo.learning_starts) == (str(log), "raw", 0)
    playing = compose("train", expand([here, "env=interest_evolution", "env.num_candidates=6"]).words)
    assert (playing.data, playing.algo.memory, playing.algo.learning_starts) == (None, "raw", 5000)
    with pytest.raises(ConfigError, match="cannot be played: name the problem with env="):
        expand([here, "data=null"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["algo.network.hidden=[4]"], "size mismatch"),
        (["env=long_term_satisfaction"], "size mismatch"),
        (["algo.memory=none"], "size mismatch"),
        (["algo=lspi", "algo.memory=none"], "algo=lspi cannot start from a checkpoint of slateq"),
    ],
)
def test_what_does_not_fit_is_refused(words: list[str], message: str, tmp_path: Path) -> None:
    champion(tmp_path / "c", [*SMALL, "algo=slateq", "algo.memory=raw", "env.num_candidates=6"])
    origin = expand([f"from={tmp_path / 'c'}", *words])
    with pytest.raises(ConfigError, match=message) as refused:
        origin.check(compose("train", origin.words))
    assert str(refused.value).startswith(f"from={tmp_path / 'c'}: ") and "\n" not in str(refused.value)


def test_a_policy_without_parameters_is_no_start(tmp_path: Path) -> None:
    champion(tmp_path / "c", [*SMALL, "algo=random"])
    origin = expand([f"from={tmp_path / 'c'}"])
    with pytest.raises(ConfigError, match="a checkpoint of random has no parameters to start from"):
        origin.check(compose("train", origin.words))
