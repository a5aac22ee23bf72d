"""`BaselineTraining`: reports, and a continuation that equals an uninterrupted run."""

from __future__ import annotations

import numpy as np
import pytest

from recsys_cli.algos.state_files import load_state, save_state
from recsys_cli.config.compose import compose
from recsys_cli.config.errors import ConfigError

COMMON = ["report_every=1500", "resources.users_per_runner=32", "tracking=off"]
PROBLEMS = {
    "interest_evolution": ["env.time_budget=40"],
    "interest_exploration": ["env.horizon=20"],
    "long_term_satisfaction": ["env.time_budget=20"],
}


def training(problem, algo, seed=0, *more):
    run = compose("train", [f"env={problem}", f"algo={algo}", *PROBLEMS[problem], *COMMON, *more])
    return run.algo.make_training(run, seed)


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("algo", ["random", "myopic", "oracle"])
def test_reports(problem, algo):
    trained = training(problem, algo)
    for step in (1, 2):
        metrics = trained.step()
        assert set(metrics) == {"train/return", "train/episode_length", "train/clicks_per_step"}
        assert step * 1500 <= trained.steps < step * 1500 + 32 * step
    assert trained.env.name == problem
    assert trained.evaluate(20, seed=1)["return"] > 0
    trained.stop()


@pytest.mark.parametrize(("problem", "algo"), [("interest_exploration", "myopic"), ("interest_evolution", "random")])
def test_a_restored_training_goes_on_bit_for_bit(tmp_path, assert_same, problem, algo):
    one = training(problem, algo)
    one.step()
    one.save(tmp_path / "state")
    two = training(problem, algo, 5)
    two.restore(tmp_path / "state")
    assert two.steps == one.steps
    assert [one.step() for _ in range(2)] == [two.step() for _ in range(2)]
    assert_same(one.policy().tensors(), two.policy().tensors())
    assert_same(one.get_state(), two.get_state())


def test_recsim_s_users_begin_anew(tmp_path):
    more = ("env.backend=recsim", "resources.users_per_runner=4", "report_every=40")
    one = training("interest_exploration", "myopic", 0, *more)
    one.step()
    one.save(tmp_path)
    two = training("interest_exploration", "myopic", 1, *more)
    two.restore(tmp_path)
    two.step()
    assert two.steps >= 80


def test_another_policy_s_state_is_refused(tmp_path):
    one = training("interest_exploration", "myopic")
    one.save(tmp_path)
    with pytest.raises(ConfigError, match="has no parameters"):
        training("interest_exploration", "random").restore(tmp_path)


def test_more_training_makes_the_myopic_baseline_better():
    trained = training("interest_exploration", "myopic")
    before = trained.evaluate(300, seed=3)["clicks_per_step"]
    for _ in range(4):
        trained.step()
    assert trained.evaluate(300, seed=3)["clicks_per_step"] > before + 0.1


def test_state_files(tmp_path, assert_same):
    state = {
        "a": [1, 2.5, None, "x", {"b": np.arange(3, dtype=np.uint8)}],
        "c": {"d": np.zeros((2, 0), np.float32), "e": np.float64(0.1), "f": True, "g": 2**127},
        "h": np.array([True, False]),
    }
    save_state(tmp_path / "new", state)
    loaded = load_state(tmp_path / "new")
    assert_same(loaded, state)
    assert loaded["a"][4]["b"].dtype == np.uint8 and loaded["c"]["d"].shape == (2, 0)
    for bad in (object(), np.array([object()])):
        with pytest.raises(TypeError):
            save_state(tmp_path, {"a": bad})


@pytest.mark.parametrize("content", [None, "{", '{"a": {"__array__": "7"}}'])
def test_unreadable_state(tmp_path, content):
    if content is not None:
        save_state(tmp_path, {})
        (tmp_path / "state.json").write_text(content)
    with pytest.raises(ConfigError, match="holds no training state that can be read"):
        load_state(tmp_path)
