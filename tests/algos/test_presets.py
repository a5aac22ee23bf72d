"""Presets of algorithms: A2C is PPO that never clips, and the runners of Ape-X explore each in its own way."""

from __future__ import annotations

import numpy as np
import pytest
from trainings import trainings

from recsys_cli.config.compose import compose


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


def test_ape_x_spreads_epsilon_over_its_runners() -> None:
    run = compose("train", ["experiment=apex", "resources.num_cpus=5"])
    config = run.algo.algorithm().config_of(run.algo, run, seed=0)
    assert run.resources.env_runners == 4 and run.algo.replay == "prioritized"
    epsilons = [config.exploration_at(100_000, runner).amount for runner in (1, 2, 3, 4)]
    assert epsilons == pytest.approx([0.4 ** (1 + 7 * i / 3) for i in range(4)])  # Horgan et al. 2018, section 4
    alone = compose("train", ["experiment=apex", "resources.env_runners=0"])
    config = alone.algo.algorithm().config_of(alone.algo, alone, seed=0)
    assert config.exploration_at(0).amount == pytest.approx(0.4)
