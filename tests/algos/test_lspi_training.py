"""LSPI as a training: from a log, whole or in parts, and by playing; stopped and continued; and what it says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys_cli.algos.lspi import iteration, offline, online
from recsys_cli.algos.lspi.iteration import Design, Iteration
from recsys_cli.config.compose import compose
from recsys_cli.offline.writer import Writer
from recsys_cli.rollouts.episodes import play

sys.path.insert(0, str(Path(__file__).parents[1] / "offline"))
from logs import played

ENV = ("env=interest_evolution", "env.slate_size=3")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 random sessions, some 2,900 steps, in two parts."""
    folder, env = tmp_path_factory.mktemp("data") / "log", compose("train", ["algo=random", *ENV]).env
    writer, steps = Writer(folder, env.spec, {"behaviour": "random"}), played(env, 40, seed=3)
    for half in (slice(20), slice(20, 40)):
        writer.write(steps.episodes(half))
    writer.finish()
    return folder


def training(*words: str, seed: int = 0) -> Any:
    run = compose("train", ["algo=lspi", "resources=inline", *words])
    return run.algo.make_training(run, seed)


def to_the_end(learner: Any) -> Any:
    while not learner.settled:
        learner.step()
    return learner


def weights(learner: Any) -> np.ndarray:
    return learner.policy().values.weights


def test_a_short_random_log_is_enough(log: Path) -> None:
    learner = to_the_end(training(f"data={log}", *ENV))
    assert play(learner.policy(), learner.env.simulator, 300, seed=1).returns.mean() > 262  # random 160, oracle 282
    assert learner.policy().features.limited
    assert 1_500 < learner.steps < 3_000  # four fifths of the log


def test_a_log_larger_than_memory_gives_the_same(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = to_the_end(training(f"data={log}"))
    monkeypatch.setattr(offline, "KEPT_ROWS", 0)
    streamed = to_the_end(training(f"data={log}"))
    assert streamed._kept is None and whole._kept is not None
    np.testing.assert_array_equal(weights(streamed), weights(whole))
    monkeypatch.setattr(offline, "PART_ROWS", 500)
    in_parts = to_the_end(training(f"data={log}"))  # moments are those of the first 500 rows now
    values = [learner.policy().values.covariance.trace() > 0 for learner in (whole, in_parts)]
    assert all(values) and in_parts.steps == whole.steps


def test_a_block_may_lie_within_one_episode(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iteration, "BLOCK_ROWS", 25)  # a session has some 70
    assert to_the_end(training(f"data={log}")).policy().values.covariance.trace() > 0


def test_the_rows_used_are_limited(log: Path) -> None:
    learner = training(f"data={log}", "steps=500")
    while learner.steps < 500:
        learner.step()
    assert learner.settled and learner.steps < 800


def test_stopped_between_rounds_it_continues_to_the_bit(log: Path, tmp_path: Path) -> None:
    undisturbed = to_the_end(training(f"data={log}"))
    stopped = training(f"data={log}")
    stopped.step(), stopped.step()
    assert not stopped.settled
    stopped.save(tmp_path)
    continued = training(f"data={log}")
    continued.restore(tmp_path)
    to_the_end(continued)
    for name, value in undisturbed.policy().tensors().items():
        np.testing.assert_array_equal(continued.policy().tensors()[name], value)


def test_without_memory_it_says_how_little_is_known(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    to_the_end(training(f"data={log}", "algo.memory=none"))
    assert "value is known as" in capsys.readouterr().err


def test_slates_that_never_settle_leave_one_step_of_improvement(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = training(f"data={log}", "algo.rounds=3")
    learner.step()
    iterating, rng = learner._iteration, np.random.default_rng(0)
    one_step = weights(learner).copy()

    def shuffled(self: Iteration, values: np.ndarray) -> None:
        Iteration._kept_learn(self, rng.permutation(values))  # type: ignore[attr-defined]

    monkeypatch.setattr(Iteration, "_kept_learn", Iteration._learn, raising=False)
    monkeypatch.setattr(Iteration, "_learn", shuffled)
    to_the_end(learner)
    assert iterating.fell_back and iterating.rounds == 3
    np.testing.assert_array_equal(weights(learner), one_step)
    assert "slates still change" in iterating.doubts()[0]
    assert not Iteration(learner.policy(), Design("auto", (1.0,), 3, 0.0, 1.0)).doubts()


def test_by_playing_it_continues_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(online, "LONG_PLAYED", 30)
    words = (*ENV, "env.time_budget=40", "report_every=300", "algo.learning_starts=300", "algo.rounds=3")
    undisturbed, stopped = training(*words), training(*words)
    reports = [undisturbed.step() for _ in range(3)]
    stopped.step()
    stopped.save(tmp_path)
    stopped.stop()
    continued = training(*words, seed=9)
    continued.restore(tmp_path)
    again = [continued.step() for _ in range(2)]
    assert again[-1] == reports[-1] and "learner/ridge" in again[-1]
    assert continued._collector.users == 32  # of 8 at first
    assert continued.steps == undisturbed.steps
    for name, value in undisturbed.policy().tensors().items():
        np.testing.assert_array_equal(continued.policy().tensors()[name], value)
    undisturbed.stop(), continued.stop()


def test_the_last_solution_is_of_all_steps_and_its_errors_are_reported() -> None:
    learner = training(*ENV, "env.time_budget=40", "steps=700", "report_every=500", "algo.rounds=3")
    first, last = learner.step(), learner.step()
    assert learner.steps == learner._solved_at >= 700
    assert all(report["learner/value_error"] > 0 and report["learner/item_error"] > 0 for report in (first, last))
    learner.stop()


@pytest.mark.slow
def test_a_hidden_state_is_valued_by_what_was_clicked() -> None:
    words = ("env=long_term_satisfaction", "env.num_candidates=20", "env.sensitivity=0.2")
    learner = training(*words, "steps=10000", "report_every=10000")
    learner.step()
    assert learner.policy().memory == "documents"
    assert play(learner.policy(), learner.env, 500, seed=1).returns.mean() > 1_200  # random 966, oracle 1,341
    learner.stop()


@pytest.mark.slow
def test_by_playing_it_comes_near_the_oracle_in_a_few_thousand_steps() -> None:
    learner = training(*ENV, "report_every=3000")
    learner.step()
    assert play(learner.policy(), learner.env, 500, seed=1).returns.mean() > 270  # oracle 282
    learner.stop()
