"""The settings that policy gradients share."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from recsys_cli.algos.base import AlgoConfig
from recsys_cli.algos.discounting import check_discount, discount_on
from recsys_cli.algos.network_config import NetworkConfig
from recsys_cli.config.ranges import Count, Fraction, NonNegative, Positive
from recsys_cli.envs.base import EnvConfig

if TYPE_CHECKING:
    from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

    from recsys_cli.algos.policy_gradient.network import SlateActor
    from recsys_cli.algos.training import Training
    from recsys_cli.config.schema import TrainConfig
    from recsys_cli.policies.plackett_luce import PlackettLucePolicy


@dataclass
class PolicyGradientConfig(AlgoConfig):
    """Policy gradients on slates. Keys are explained, and defaults given, in the algorithms' yaml files."""

    discount: Fraction | None
    history: Literal["none", "raw", "documents"]
    network: NetworkConfig
    lr: Positive
    lr_schedule: Literal["linear", "constant"]
    lr_final_fraction: Fraction
    rollout_length: Count
    epochs: Count
    minibatch_size: Count
    entropy_coeff: NonNegative
    entropy_final_fraction: Fraction
    value_loss_coeff: NonNegative
    grad_clip: Positive | None

    changeable: ClassVar[tuple[str, ...]] = ("lr", "discount", "epochs", "minibatch_size", "entropy_coeff")

    def __post_init__(self) -> None:
        """Check that the network sees what is remembered."""
        self.network.check_history(self.history)

    def check(self, env: EnvConfig) -> None:
        """Refuse a discount of 1 where episodes never terminate."""
        check_discount(self.discount, env)

    def discount_on(self, env: EnvConfig) -> float:
        """Return the discount of one step."""
        return discount_on(self.discount, env)

    def module_class(self) -> type:
        """Return the RLlib module."""
        from recsys_cli.algos.policy_gradient.module import SlateActorCriticModule

        return SlateActorCriticModule

    @abstractmethod
    def learner_class(self) -> type:
        """Return the RLlib learner."""

    @abstractmethod
    def algorithm_config(self, run: TrainConfig, seed: int) -> AlgorithmConfig:
        """Return RLlib's config of this algorithm."""

    def policy_of(self, network: SlateActor, seed: int = 0) -> PlackettLucePolicy:
        """Return the policy that acts with `network`, whose exploration draws from a stream of that seed."""
        from recsys_cli.policies.plackett_luce import PlackettLucePolicy

        return PlackettLucePolicy(network, np.random.Generator(np.random.SFC64(seed)))

    def make_policy(self, env: EnvConfig, seed: int = 0) -> PlackettLucePolicy:
        """Build the policy, untrained."""
        from recsys_cli.algos.policy_gradient.network import SlateActor
        from recsys_cli.policies.network import seeded

        return self.policy_of(seeded(seed, lambda: SlateActor(self, env)), seed)

    def make_training(self, run: TrainConfig, seed: int) -> Training:
        """Build RLlib's algorithm."""
        from recsys_cli.algos.rllib_training import RLlibTraining

        return RLlibTraining(self.algorithm_config(run, seed))
