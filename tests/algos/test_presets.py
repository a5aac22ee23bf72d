"""Presets of algorithms: A2C is PPO that never clips, and each of Ape-X's users explores with its own epsilon."""

from __future__ import annotations

import numpy as np
import pytest
from trainings import trainings


def actor_after_two_rounds(clip: float, *words: str) -> np.ndarray:
    small = ("report_every=1", "resources.users_per_runner=16", "algo.network.hidden=[8]", "env.time_budget=30")
    with trainings("experiment=a2c", *small, f"algo.clip_param={clip}", *words) as make:
        training = make()
        training.step(), training.step()
        return np.concatenate([tensor.ravel() for tensor in training.policy().tensors().values()])


@pytest.mark.usefixtures("no_ray")
def test_a2c_takes_one_step_a_round_in_which_nothing_is_clipped() -> None:
    np.testing.assert_array_equal(actor_after_two_rounds(1e-4), actor_after_two_rounds(0.5))
    again = ("algo.epochs=2",)
    assert not np.array_equal(actor_after_two_rounds(1e-4, *again), actor_after_two_rounds(0.5, *again))


@pytest.mark.usefixtures("no_ray")
def test_ape_x_spreads_epsilon_over_its_users() -> None:
    with trainings("experiment=apex", "resources.users_per_runner=5") as make:
        runner = make().algorithm.env_runner
        law = runner._rule(explore=True, random_actions=False)(runner.collector.newest())
        best = runner.policy.distribution(runner.collector.newest()).mode()
    epsilon = 0.4 ** (1 + 7 * np.arange(5) / 4)  # Horgan et al. 2018, section 4
    np.testing.assert_allclose(np.exp(law.log_prob(best)), 1 - epsilon + epsilon / (10 * 9))
