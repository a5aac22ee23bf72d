"""Runners and learners in processes of their own, on a real Ray: they share gradients, are restored, and may die."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from trainings import assert_learned_as_often_as_told, trainings

from recsys_cli.algos.rllib_training import RLlibTraining

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.usefixtures("local_ray", "many_cpus")]

SMALL = (
    "steps=4000",
    "report_every=500",
    "evaluation.episodes=8",
    "algo.learning_starts=300",
    "algo.batch_size=64",
    "algo.network.hidden=[16]",
)
RUNNERS = ("resources.env_runners=2", "resources.users_per_runner=16")
MakeTraining = Callable[..., RLlibTraining]


@pytest.fixture(scope="module")
def many_cpus() -> Iterator[None]:
    """A machine of as many CPUs as the tests ask for, though it may have fewer."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("recsys_cli.config.resources.machine_cpus", lambda: 8)
        yield


@pytest.fixture
def make_training() -> Iterator[MakeTraining]:
    """A function that builds a small training from overrides; ended after the test."""
    with trainings(*SMALL, "resources.users_per_runner=32") as make:
        yield make


@pytest.fixture(scope="module")
def two_runners(local_ray: None, many_cpus: None) -> Iterator[RLlibTraining]:
    """A training with two runners, which several tests take further: each process takes seconds to start."""
    words = (*RUNNERS, "resources.evaluation_runners=1", "report_every=1")  # a round a step: no replacement has sampled
    with trainings(*SMALL, *words) as make:
        yield make()


def runners_do(training: RLlibTraining, work: Callable[[Any], Any]) -> list[Any]:
    group = training.algorithm.env_runner_group
    return group.foreach_env_runner(work, local_env_runner=False, timeout_seconds=60.0)


def train(training: RLlibTraining, steps: int) -> dict[str, float]:
    """Take it further by so many env steps; return the last report."""
    end = training.steps + steps
    while training.steps < end:
        report = training.step()
    return report


def kill_runner(training: RLlibTraining, number: int) -> None:
    """Kill a runner, and train until RLlib has replaced it."""
    group, counters = training.algorithm.env_runner_group, training.algorithm._counters
    before, end = counters["total_num_restored_workers"], time.monotonic() + 60.0
    ray.kill(group._worker_manager.actors()[number], no_restart=False)
    while counters["total_num_restored_workers"] == before:
        assert time.monotonic() < end, "the runner was not replaced"
        training.step()
    assert group.num_healthy_remote_workers() == 2


def seeds(training: RLlibTraining) -> list[int]:
    """What decides each runner's users."""
    return runners_do(training, lambda runner: runner.collector.env_seed)


def assert_apart(numbers: list[int]) -> None:
    """No runner plays what another plays or played: every reset takes the next seed."""
    assert all(abs(one - other) > 1000 for one, other in combinations(numbers, 2)), numbers


def assert_learners_agree(training: RLlibTraining) -> None:
    group = training.algorithm.learner_group
    one, other = (result.get() for result in group.foreach_learner(lambda learner: learner.get_state()["rl_module"]))
    for module_id, weights in one.items():
        for name, value in weights.items():
            # A posterior is of the learner's own half until the next pass, which hands the first learner's to all.
            if "posterior." not in name:
                np.testing.assert_array_equal(value, other[module_id][name], err_msg=name)


@pytest.mark.parametrize("replay", [pytest.param("uniform", marks=pytest.mark.slow), "prioritized"])
def test_two_learners_share_every_gradient(make_training: MakeTraining, replay: str) -> None:
    training = make_training("resources.learners=2", f"algo.replay={replay}")
    for _ in range(3):
        report = training.step()
    assert math.isfinite(report["learner/loss"])
    assert_learners_agree(training)
    if replay == "prioritized":
        (priority,) = training.algorithm.replay.priorities.values()
        assert len(np.unique(priority)) > 100  # errors of both halves came back


@pytest.mark.slow
def test_two_dqn_learners_stay_the_same(make_training: MakeTraining) -> None:
    training = make_training("algo=dqn", "env.num_candidates=5", "resources.learners=2", "algo.batch_size=63")
    for _ in range(3):
        report = training.step()
    assert math.isfinite(report["learner/loss"])
    assert_learners_agree(training)


def test_remote_runners_get_the_restored_weights(two_runners: RLlibTraining, tmp_path: Path) -> None:
    beginnings = seeds(two_runners)
    train(two_runners, 1500)
    two_runners.save(tmp_path / "state")
    steps, weights = two_runners.steps, two_runners.policy().tensors()
    train(two_runners, 500)
    assert any((two_runners.policy().tensors()[name] != value).any() for name, value in weights.items())

    two_runners.restore(tmp_path / "state")
    assert two_runners.steps == steps
    for tensors in runners_do(two_runners, lambda runner: runner.policy.tensors()):
        for name, value in weights.items():
            np.testing.assert_array_equal(tensors[name], value)
    for count in runners_do(two_runners, lambda runner: runner.num_env_steps_sampled_lifetime):
        assert count == steps
    assert_apart([*beginnings, *seeds(two_runners)])
    train(two_runners, 1500)


def test_a_killed_runner_is_replaced_and_does_not_replay(two_runners: RLlibTraining) -> None:
    # RLlib gives a replacement the local runner's state.
    played = [*seeds(two_runners), two_runners.algorithm.env_runner.collector.env_seed]
    two_runners.step()
    kill_runner(two_runners, 1)
    assert_apart([*played, seeds(two_runners)[0]])
    for tensors in runners_do(two_runners, lambda runner: runner.policy.tensors()):
        for name, value in two_runners.policy().tensors().items():
            np.testing.assert_array_equal(tensors[name], value)
    assert math.isfinite(train(two_runners, 500)["learner/loss"])


@pytest.mark.slow
def test_each_transition_of_two_runners_is_learned_from_as_often_as_told(make_training: MakeTraining) -> None:
    words = ("algo=dqn", "env.num_candidates=5", "algo.learning_starts=100", "algo.replay_ratio=3", "report_every=1")
    assert_learned_as_often_as_told(make_training(*words, "resources.env_runners=2"))


def test_evaluation_runners_evaluate(two_runners: RLlibTraining) -> None:
    means = two_runners.evaluate(8, seed=1)
    assert {"return", "episode_length", "clicks_per_step"} <= set(means)
    assert means["episode_length"] > 10
