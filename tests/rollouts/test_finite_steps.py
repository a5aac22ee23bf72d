"""A simulator's NaN or infinity ends whatever plays it, with array, user, step and value."""

from __future__ import annotations

import numpy as np
import pytest

from recsys_cli.algos.baselines import fitted_baseline
from recsys_cli.config.compose import compose
from recsys_cli.config.structured import load
from recsys_cli.envs.finite import require_finite_step
from recsys_cli.envs.interest_evolution_env import InterestEvolutionVectorEnv
from recsys_cli.policies import UniformPolicy
from recsys_cli.rollouts.collector import Collector
from recsys_cli.rollouts.episodes import play

USER, STEP = 3, 2
WHERE = {
    "reward": f"reward=nan for user {USER} in lock-step",
    "watch_time": rf"response\['watch_time'\]=nan for user {USER}, entry \[1\] in lock-step",
    "user": rf"user=nan for user {USER}, entry \[1\] in lock-step",
}


@pytest.fixture(params=WHERE)
def poisoned(request, monkeypatch):
    """What the message must say; from its second step on the simulator returns NaN about a user."""
    advance, observed = InterestEvolutionVectorEnv._advance, InterestEvolutionVectorEnv._user

    def bad_advance(self, slates, active):
        response, reward, terminated = advance(self, slates, active)
        if self._steps[USER] >= STEP - 1:
            if request.param == "reward":
                reward[USER] = np.nan
            if request.param == "watch_time":
                response["watch_time"][USER, 1] = np.nan
        return response, reward, terminated

    def bad_user(self):
        user = observed(self)
        if request.param == "user" and self._steps[USER] >= STEP:
            user[USER, 1] = np.nan
        return user

    monkeypatch.setattr(InterestEvolutionVectorEnv, "_advance", bad_advance)
    monkeypatch.setattr(InterestEvolutionVectorEnv, "_user", bad_user)
    return "the simulator returned " + WHERE[request.param]


def test_nothing_plays_on(poisoned):
    env, random = load("env", "interest_evolution"), UniformPolicy(2)
    collector = Collector(env, 8, seed=0)
    with pytest.raises(FloatingPointError, match=f"{poisoned} 3"):  # its count begins at the reset
        collector.collect(5, random.distribution, np.random.default_rng(0))
    with pytest.raises(FloatingPointError, match=f"{poisoned} {STEP}: rewards, responses and observations must be fi"):
        play(random, env, 8, seed=0)
    with pytest.raises(FloatingPointError, match=poisoned):
        fitted_baseline("myopic", load("env", "interest_exploration"), 0) and play(
            fitted_baseline("myopic", env, 0), env, 8, seed=0
        )
    run = compose("train", ["algo=random", "resources.users_per_runner=8", "tracking=off"])
    with pytest.raises(FloatingPointError, match=poisoned):
        run.algo.make_training(run, 0).step()


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("name", ["user", "doc"])
def test_observations_count_from_the_reset_on(name, value):
    observation = {"user": np.zeros((4, 2), np.float32), "doc": np.zeros((4, 3, 1), np.float32), "response": {}}
    require_finite_step(0, observation)
    observation[name][2, 1] = value
    with pytest.raises(FloatingPointError, match=rf"{name}={value} for user 2, entry \[1.* in lock-step 0"):
        require_finite_step(0, observation)


def test_what_no_number_can_be_too_large_for_passes():
    largest = np.full((4, 2), np.finfo(np.float32).max)  # their sum overflows
    require_finite_step(0, {"user": largest, "doc": np.zeros((4, 3), np.uint8), "response": {}}, largest[:, 0])
