"""The settings that Q-learning algorithms share."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from recsys_cli.algos.replay_config import ReplayConfig
from recsys_cli.config.ranges import Count, Fraction
from recsys_cli.envs.base import EnvConfig

if TYPE_CHECKING:
    from recsys_cli.algos.q_learning.network import QNetwork
    from recsys_cli.algos.training import Training
    from recsys_cli.config.schema import TrainConfig
    from recsys_cli.policies.network import NetworkPolicy


@dataclass
class QLearningConfig(ReplayConfig):
    """Q-learning from replay. Keys are explained, and defaults given, in the algorithms' yaml files."""

    double_q: bool
    loss: Literal["squared", "huber"]
    optimizer: Literal["adam", "rmsprop"]
    replay: Literal["uniform", "prioritized"]
    priority_alpha: Fraction
    priority_beta: Fraction
    target_update: Literal["polyak", "periodic"]
    target_period: Count
    epsilon_initial: Fraction
    epsilon_final: Fraction
    epsilon_fraction: Fraction

    changeable: ClassVar[tuple[str, ...]] = (*ReplayConfig.changeable, "double_q", "loss", "epsilon_final")

    @property
    def compiles(self) -> bool:
        """It has gradient steps of one graph."""
        return True

    @abstractmethod
    def network_class(self) -> type[QNetwork]:
        """Return the network, which is built from these settings and the problem."""

    @abstractmethod
    def module_class(self) -> type:
        """Return the RLlib module."""

    @abstractmethod
    def learner_class(self) -> type:
        """Return the RLlib learner."""

    def make_policy(self, env: EnvConfig, seed: int = 0) -> NetworkPolicy:
        """Build the greedy policy, untrained."""
        from recsys_cli.policies.network import NetworkPolicy, seeded

        return NetworkPolicy(seeded(seed, lambda: self.network_class()(self, env)))

    def make_training(self, run: TrainConfig, seed: int) -> Training:
        """Build RLlib's algorithm."""
        from recsys_cli.algos.q_learning.algorithm import q_learning_algorithm_config
        from recsys_cli.algos.rllib_training import RLlibTraining

        return RLlibTraining(q_learning_algorithm_config(self, run, seed))
