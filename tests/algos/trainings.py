"""What tests of RLlib's algorithms share: small trainings, and all that their future depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from recsys_cli.algos.rllib_training import RLlibTraining
from recsys_cli.config.compose import compose


@contextmanager
def trainings(*words: str) -> Iterator[Callable[..., RLlibTraining]]:
    """Give a function that builds a training from these and its own words behind `recsys train`, and a seed."""
    made: list[RLlibTraining] = []

    def make(*more: str, seed: int = 0) -> RLlibTraining:
        run = compose("train", [*words, *more])
        training = run.algo.make_training(run, seed)
        made.append(training)
        return training

    yield make
    for training in made:
        training.stop()


def learner_state(training: RLlibTraining) -> dict[str, Any]:
    """Weights, target network, optimiser, gradient steps."""
    state = training.algorithm.learner_group.get_state()["learner"]
    return {name: value for name, value in state.items() if name not in ("weights_seq_no", "metrics_logger")}


def whole_state(training: RLlibTraining) -> dict[str, Any]:
    """All that the training's future depends on, but for a replay buffer."""
    runner = training.algorithm.env_runner.get_state()
    return {
        "learner": learner_state(training),
        "runner": {name: value for name, value in runner.items() if name != "weights_seq_no"},
        "steps": training.steps,
    }


def assert_learned_as_often_as_told(training: RLlibTraining) -> None:
    """Fail unless batches of 64 rows make three rows learned from for each env step; `report_every` must be 1."""

    def learned_and_played() -> np.ndarray:
        learner = training.algorithm.learner_group.get_state()["learner"]
        return np.array([64 * learner["weights_seq_no"], training.steps])

    while training.steps < 800:
        training.step()
    before = learned_and_played()
    for _ in range(4):
        training.step()
    rows, steps = learned_and_played() - before
    assert rows / steps == pytest.approx(3, rel=0.1)
