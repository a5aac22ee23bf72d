"""The settings shared by algorithms whose network learns by gradients."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

from recsys_cli.algos.base import AlgoConfig
from recsys_cli.algos.discounting import check_discount, discount_on
from recsys_cli.algos.network_config import TRAINED_WEIGHT, NetworkConfig
from recsys_cli.config.ranges import Fraction, LearningRate
from recsys_cli.config.types import show
from recsys_cli.envs.spec import ProblemSpec

if TYPE_CHECKING:
    from recsys_cli.envs.base import EnvConfig
    from recsys_cli.policies import SlatePolicy


@dataclass
class GradientConfig(AlgoConfig):
    """A network and its learning rate. Keys and defaults: see the yaml files."""

    memory: Literal["auto", "none", "raw", "documents"]
    network: NetworkConfig
    lr: LearningRate
    lr_schedule: Literal["linear", "constant"]
    lr_final_fraction: Fraction

    def __post_init__(self) -> None:
        """Check that the network sees the memory."""
        self.network.check_memory(self.memory)

    def learning_from(self, data: str | None, env: EnvConfig) -> Self:
        """Return the settings with `memory=auto` resolved.

        That is raw; but none for a network that ignores users, and in playing users without features: there rewards
        alone tell how a user is, and values of totals are values of luck.
        """
        if self.memory != "auto":
            return self
        without = self.network.kind == "documents" or (data is None and not len(env.spec.user))
        return replace(self, memory="none" if without else "raw")

    def memory_bytes(self, spec: ProblemSpec) -> dict[str, int]:
        """Add the network."""
        key = f"algo.network.hidden={show(self.network.hidden)}"
        return {**super().memory_bytes(spec), key: TRAINED_WEIGHT * self.network.weights(len(spec.user))}

    @abstractmethod
    def make_network(self, spec: ProblemSpec) -> Any:
        """Build the acting network, with weights from torch's random stream."""

    @abstractmethod
    def policy_of(self, network: Any) -> SlatePolicy:
        """Return the policy that acts with `network`."""

    def make_policy(self, spec: ProblemSpec, seed: int = 0) -> SlatePolicy:
        """Build the policy, untrained."""
        from recsys_cli.policies.network import seeded

        return self.policy_of(seeded(seed, lambda: self.make_network(spec)))


@dataclass
class DiscountedConfig(GradientConfig):
    """Adds the discount."""

    discount: Fraction | None

    def check(self, spec: ProblemSpec) -> None:
        """Refuse a discount of 1 if episodes never terminate."""
        super().check(spec)
        check_discount(self.discount, spec)

    def discount_on(self, spec: ProblemSpec) -> float:
        """Return the discount of one step."""
        return discount_on(self.discount, spec)


def minibatch_bytes(settings: Any, spec: ProblemSpec) -> dict[str, int]:
    """Return what rows kept to draw from, and the columns and hidden layers of a minibatch of them, take.

    Args:
        settings: with `replay_capacity`, `batch_size` and `network`.
        spec: of the problem.
    """
    step = spec.observation_bytes
    row = 2 * step + 4 * sum(settings.network.hidden)
    capacity = f"algo.replay_capacity={settings.replay_capacity:,} with env.num_candidates={spec.width:,}"
    return {
        capacity: settings.replay_capacity * (step + spec.slate_size),
        f"algo.batch_size={settings.batch_size:,}": settings.batch_size * row,
    }
