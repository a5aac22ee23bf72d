"""DQN's settings."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from recsys_cli.algos.enumerated import check_slate_network, check_slates
from recsys_cli.algos.replay_config import ReplayConfig
from recsys_cli.config.ranges import Count, Fraction
from recsys_cli.envs.base import EnvConfig

if TYPE_CHECKING:
    from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

    from recsys_cli.algos.dqn.algorithm import SlateDQNConfig
    from recsys_cli.algos.training import Training
    from recsys_cli.config.schema import TrainConfig
    from recsys_cli.policies.network import NetworkPolicy


@dataclass
class EnumeratedReplayConfig(ReplayConfig):
    """What RLlib's algorithms that learn from replay share, each slate an action."""

    max_slates: Count

    def __post_init__(self) -> None:
        """Check that the network is one over whole slates."""
        super().__post_init__()
        check_slate_network(self.name, self.network)

    def check(self, env: EnvConfig) -> None:
        """Refuse problems with more slates than `max_slates`."""
        super().check(env)
        check_slates(self.name, self.max_slates, env)

    @abstractmethod
    def module_class(self) -> type:
        """Return the RLlib module."""

    @abstractmethod
    def learner_class(self) -> type:
        """Return the RLlib learner."""

    @abstractmethod
    def algorithm_config(self, run: TrainConfig, seed: int) -> AlgorithmConfig:
        """Return RLlib's config of this algorithm."""

    def make_training(self, run: TrainConfig, seed: int) -> Training:
        """Build RLlib's algorithm."""
        from recsys_cli.algos.rllib_training import RLlibTraining

        return RLlibTraining(self.algorithm_config(run, seed))


@dataclass
class DQNConfig(EnumeratedReplayConfig):
    """DQN. Keys are explained, and defaults given, in `conf/algo/dqn.yaml`."""

    double_q: bool
    loss: Literal["squared", "huber"]
    epsilon_initial: Fraction
    epsilon_final: Fraction
    epsilon_fraction: Fraction

    def network_class(self) -> type:
        """Return the network."""
        from recsys_cli.algos.full_slate_q.network import FullSlateQNetwork

        return FullSlateQNetwork

    def module_class(self) -> type:
        """Return the RLlib module."""
        from recsys_cli.algos.dqn.module import SlateDQNModule

        return SlateDQNModule

    def learner_class(self) -> type:
        """Return the RLlib learner."""
        from recsys_cli.algos.dqn.learner import SlateDQNLearner

        return SlateDQNLearner

    def algorithm_config(self, run: TrainConfig, seed: int) -> SlateDQNConfig:
        """Return RLlib's config."""
        from recsys_cli.algos.dqn.algorithm import SlateDQNConfig

        config = SlateDQNConfig()
        td_error_loss = "mse" if self.loss == "squared" else "huber"
        config.of_replay(self, run, seed, double_q=self.double_q, td_error_loss_fn=td_error_loss)
        return config

    def make_policy(self, env: EnvConfig, seed: int = 0) -> NetworkPolicy:
        """Build the greedy policy, untrained."""
        from recsys_cli.policies.network import NetworkPolicy, seeded

        return NetworkPolicy(seeded(seed, lambda: self.network_class()(self, env)))
