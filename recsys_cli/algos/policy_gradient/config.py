"""The settings that policy gradients share."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from recsys_cli.algos.base import AlgoConfig
from recsys_cli.algos.discounting import check_discount, discount_on
from recsys_cli.algos.network_config import NetworkConfig
from recsys_cli.envs.spec import ProblemSpec

if TYPE_CHECKING:
    from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

    from recsys_cli.algos.policy_gradient.network import SlateActor
    from recsys_cli.algos.training import Training
    from recsys_cli.config.schema import TrainConfig
    from recsys_cli.policies.network import PlackettLucePolicy


@dataclass
class PolicyGradientConfig(AlgoConfig):
    """Policy gradients on slates. Keys are explained, and defaults given, in the algorithms' yaml files."""

    discount: float | None
    memory: Literal["none", "raw", "documents"]
    network: NetworkConfig
    lr: float
    lr_schedule: Literal["linear", "constant"]
    lr_final_fraction: float
    rollout_length: int
    epochs: int
    minibatch_size: int
    entropy_coeff: float
    entropy_final_fraction: float
    value_loss_coeff: float
    grad_clip: float | None

    changeable: ClassVar[tuple[str, ...]] = ("lr", "discount", "epochs", "minibatch_size", "entropy_coeff")

    def __post_init__(self) -> None:
        """Check ranges."""
        self.network.check_memory(self.memory)
        self.in_range("lr_final_fraction", "entropy_final_fraction", "discount")
        self.above_zero("lr", "grad_clip")
        self.not_below(0, "entropy_coeff", "value_loss_coeff")
        self.not_below(1, "rollout_length", "epochs", "minibatch_size")

    def check(self, spec: ProblemSpec) -> None:
        """Refuse a discount of 1 where episodes never terminate."""
        check_discount(self.discount, spec)

    def discount_on(self, spec: ProblemSpec) -> float:
        """Return the discount of one step."""
        return discount_on(self.discount, spec)

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

    def policy_of(self, network: SlateActor) -> PlackettLucePolicy:
        """Return the policy that acts with `network`."""
        from recsys_cli.policies.network import PlackettLucePolicy

        return PlackettLucePolicy(network)

    def make_policy(self, spec: ProblemSpec, seed: int = 0) -> PlackettLucePolicy:
        """Build the policy, untrained."""
        from recsys_cli.algos.policy_gradient.network import SlateActor
        from recsys_cli.policies.network import seeded

        return self.policy_of(seeded(seed, lambda: SlateActor(self, spec)))

    def make_training(self, run: TrainConfig, seed: int) -> Training:
        """Build RLlib's algorithm."""
        from recsys_cli.algos.rllib_training import RLlibTraining

        return RLlibTraining(self.algorithm_config(run, seed))
