"""The settings that Q-learning algorithms share."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from recsys_cli.algos.base import AlgoConfig
from recsys_cli.algos.discounting import check_discount, discount_on
from recsys_cli.algos.network_config import NetworkConfig
from recsys_cli.config.errors import ConfigError
from recsys_cli.envs.base import EnvConfig

if TYPE_CHECKING:
    from recsys_cli.algos.q_learning.network import QNetwork
    from recsys_cli.algos.training import Training
    from recsys_cli.config.schema import TrainConfig
    from recsys_cli.policies.network import NetworkPolicy

HIDDEN_STATE_STEPS = 10
FRACTIONS = (
    "discount",
    "lr_final_fraction",
    "epsilon_initial",
    "epsilon_final",
    "epsilon_fraction",
    "priority_alpha",
    "priority_beta",
)


@dataclass
class QLearningConfig(AlgoConfig):
    """Q-learning from replay. Keys are explained, and defaults given, in the algorithms' yaml files."""

    discount: float | None
    n_step: int | None
    history: Literal["none", "raw", "documents"]
    double_q: bool
    loss: Literal["squared", "huber"]
    network: NetworkConfig
    optimizer: Literal["adam", "rmsprop"]
    lr: float
    lr_schedule: Literal["linear", "constant"]
    lr_final_fraction: float
    batch_size: int
    replay_ratio: float
    replay_capacity: int
    replay: Literal["uniform", "prioritized"]
    priority_alpha: float
    priority_beta: float
    learning_starts: int
    rollout_length: int
    target_update: Literal["polyak", "periodic"]
    target_tau: float
    target_period: int
    epsilon_initial: float
    epsilon_final: float
    epsilon_fraction: float

    def __post_init__(self) -> None:
        """Check ranges."""
        self.in_range(*FRACTIONS)
        if not 0 < self.target_tau <= 1:
            raise ConfigError(f"algo.target_tau={self.target_tau} must lie above 0 and at most at 1")
        self.above_zero("lr", "replay_ratio")
        self.not_below(1, "batch_size", "rollout_length", "target_period", "replay_capacity", "n_step")
        if not 0 <= self.learning_starts < self.replay_capacity:
            raise ConfigError(
                f"algo.learning_starts={self.learning_starts} must be at least 0 and "
                f"below algo.replay_capacity={self.replay_capacity}"
            )

    def check(self, env: EnvConfig) -> None:
        """Refuse a discount of 1 where episodes never terminate."""
        check_discount(self.discount, env)

    def discount_on(self, env: EnvConfig) -> float:
        """Return the discount of one step."""
        return discount_on(self.discount, env)

    def n_step_on(self, env: EnvConfig) -> int:
        """Return the number of steps before the bootstrap.

        Where none is given: 1 for users who are observed. Of a user without features the next observation tells
        nothing, so that what an action does to the hidden state must show in the rewards themselves: 10.
        """
        return self.n_step or (1 if env.user_features else HIDDEN_STATE_STEPS)

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
