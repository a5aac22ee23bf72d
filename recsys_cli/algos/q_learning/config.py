"""The settings that Q-learning algorithms share."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from recsys_cli.algos.replay_config import ReplayConfig
from recsys_cli.envs.spec import ProblemSpec

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
    priority_alpha: float
    priority_beta: float
    target_update: Literal["polyak", "periodic"]
    target_period: int
    epsilon_initial: float
    epsilon_final: float
    epsilon_fraction: float

    changeable: ClassVar[tuple[str, ...]] = (*ReplayConfig.changeable, "double_q", "loss", "epsilon_final")

    def __post_init__(self) -> None:
        """Check ranges."""
        super().__post_init__()
        self.in_range("epsilon_initial", "epsilon_final", "epsilon_fraction", "priority_alpha", "priority_beta")
        self.not_below(1, "target_period")

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

    @abstractmethod
    def policy_of(self, network: Any) -> NetworkPolicy:
        """Return the policy that acts with `network`."""

    def make_policy(self, spec: ProblemSpec, seed: int = 0) -> NetworkPolicy:
        """Build the policy, untrained."""
        from recsys_cli.policies.network import seeded

        return self.policy_of(seeded(seed, lambda: self.network_class()(self, spec)))

    def make_training(self, run: TrainConfig, seed: int) -> Training:
        """Build RLlib's algorithm."""
        from recsys_cli.algos.q_learning.algorithm import q_learning_algorithm_config
        from recsys_cli.algos.rllib_training import RLlibTraining

        return RLlibTraining(q_learning_algorithm_config(self, run, seed))
