"""Bandits through RLlib: every problem trains, resuming is exact, runners get the posterior, regret is what it says."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bandits import PAIRS, one_each
from trainings import trainings, whole_state

from recsys_cli.algos.bandits import regret
from recsys_cli.algos.rllib_training import RLlibTraining

SMALL = ("steps=4000", "report_every=500", "resources.users_per_runner=32", "evaluation.episodes=8")
SHORT = {
    "interest_evolution": ("env.time_budget=40",),
    "interest_exploration": ("env.horizon=20",),
    "long_term_satisfaction": ("env.time_budget=20",),
}
MakeTraining = Callable[..., RLlibTraining]


@pytest.fixture
def make_training(monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeTraining]:
    """A function that builds a small training from overrides; ended after the test."""
    monkeypatch.setattr(regret, "ORACLE_EPISODES", 50)
    with trainings(*SMALL) as make:
        yield lambda problem, name, *words, **seed: make(
            f"env={problem}", f"algo={name}", *SHORT[problem], *words, **seed
        )


@pytest.mark.usefixtures("no_ray")
@pytest.mark.parametrize(("name", "problem"), one_each(PAIRS, PAIRS[0][0]))
def test_a_restored_training_goes_on_bit_for_bit(
    make_training: MakeTraining, assert_same: Callable[[Any, Any], None], tmp_path: Path, name: str, problem: str
) -> None:
    one = make_training(problem, name)
    for _ in range(2):
        report = one.step()
    assert all(math.isfinite(value) for value in report.values())
    assert {"learner/loss", "train/return", "train/regret", "train/cumulative_regret"} <= set(report)
    one.save(tmp_path / "state")
    two = make_training(problem, name, seed=7)
    two.restore(tmp_path / "state")
    assert_same(whole_state(two), whole_state(one))
    assert [one.step() for _ in range(2)] == [two.step() for _ in range(2)]
    assert_same(whole_state(two), whole_state(one))
    assert_same(two.policy().tensors(), one.policy().tensors())
    assert math.isfinite(two.evaluate(8, seed=1)["return"])


@pytest.mark.usefixtures("no_ray")
def test_seeds_decide(make_training: MakeTraining, assert_same: Callable[[Any, Any], None]) -> None:
    one, same, other = (make_training("interest_exploration", "lints", seed=seed) for seed in (3, 3, 4))
    for training in (one, same, other):
        training.step()
    assert_same(whole_state(one), whole_state(same))
    assert any((one.policy().tensors()[name] != value).any() for name, value in other.policy().tensors().items())


@pytest.mark.usefixtures("no_ray")
def test_every_transition_is_learned_from_once(make_training: MakeTraining) -> None:
    training = make_training("interest_exploration", "linucb", "algo.observe=shown", "algo.slate=top_k")
    for _ in range(3):
        training.step()
    assert training.policy().tensors()["items.totals"][0] == 2 * training.steps


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
@pytest.mark.usefixtures("local_ray")
def test_two_runners_feed_one_posterior_and_get_it(
    make_training: MakeTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recsys_cli.config.resources.machine_cpus", lambda: 8)
    words = ("algo.observe=shown", "algo.slate=top_k", "resources.env_runners=2", "resources.users_per_runner=16")
    training = make_training("interest_exploration", "linucb", *words)
    for _ in range(2):
        training.step()
    tensors = training.policy().tensors()
    assert tensors["items.totals"][0] == 2 * training.steps
    group = training.algorithm.env_runner_group
    for own in group.foreach_env_runner(lambda runner: runner.policy.tensors(), local_env_runner=False):
        np.testing.assert_array_equal(own["items.gram"], tensors["items.gram"])


@pytest.mark.usefixtures("no_ray")
def test_regret_is_the_oracle_s_mean_less_what_was_returned(
    make_training: MakeTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = make_training("interest_exploration", "linear_greedy", "algo.epsilon=1.0", "env.horizon=5")
    runner, seen = training.algorithm.env_runner, []
    take = runner.collector.take_finished

    def watched() -> Any:
        finished = take()
        if finished is not None:
            seen.extend(finished.returns)
        return finished

    monkeypatch.setattr(runner.collector, "take_finished", watched)
    counts, reports = [0], []
    for _ in range(3):
        reports.append(training.step())
        counts.append(len(seen))
    reference = training.reference
    for report, first, last in zip(reports, counts, counts[1:], strict=False):
        assert report["train/regret"] == pytest.approx(reference - np.mean(seen[first:last]))
        assert report["train/cumulative_regret"] == pytest.approx(sum(reference - r for r in seen[:last]))


@pytest.mark.usefixtures("no_ray")
def test_a_problem_without_an_oracle_has_no_regret(
    make_training: MakeTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regret, "has_oracle", lambda env: False)
    training = make_training("interest_exploration", "linucb")
    training.step()
    report = training.step()
    assert "train/return" in report and not any("regret" in name for name in report)


@pytest.mark.usefixtures("no_ray")
def test_recsim_users_start_anew_after_a_restore(make_training: MakeTraining, tmp_path: Path) -> None:
    words = ("env.backend=recsim", "resources.users_per_runner=8", "report_every=100")
    training = make_training("interest_exploration", "linucb", *words)
    training.step()
    training.save(tmp_path / "state")
    resumed = make_training("interest_exploration", "linucb", *words)
    resumed.restore(tmp_path / "state")
    np.testing.assert_array_equal(resumed.policy().tensors()["items.gram"], training.policy().tensors()["items.gram"])
    resumed.step()
    assert resumed.steps > training.steps
