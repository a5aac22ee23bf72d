"""Tabular Q-learning as an RLlib algorithm on the vectorised runner."""

from __future__ import annotations

from ray.rllib.utils.annotations import override

from recsys_cli.algos.bandits.algorithm import Bandit
from recsys_cli.algos.rllib_algorithm import DecayingEpsilon
from recsys_cli.algos.rllib_training import RLlibTraining
from recsys_cli.config.explore import NOT_EXPLORING, Explore
from recsys_cli.rollouts.followed import FollowedRunner


class TabularQAlgorithmConfig(DecayingEpsilon):
    """Explores by epsilon or by counts, and keeps the states that follow."""

    def __init__(self, algo_class: type | None = None) -> None:
        """Set the runner."""
        super().__init__(algo_class=algo_class)
        self.env_runner_cls = FollowedRunner

    @override(DecayingEpsilon)
    def exploration_at(self, env_steps: int) -> Explore:
        """Return the probability of a random slate; none if the policy explores by counts."""
        return super().exploration_at(env_steps) if self.settings.exploration == "epsilon_greedy" else NOT_EXPLORING


class TabularQ(Bandit):
    """Uses the bandits' loop, with every transition learned from once."""

    config_class = TabularQAlgorithmConfig
    training_class = RLlibTraining
