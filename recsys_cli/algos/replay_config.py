"""The settings that algorithms share which learn from replay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from recsys_cli.algos.base import AlgoConfig
from recsys_cli.algos.discounting import check_discount, discount_on
from recsys_cli.algos.network_config import NetworkConfig
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.ranges import Count, Fraction, Positive, PositiveFraction, StepsOrZero
from recsys_cli.envs.base import EnvConfig

HIDDEN_STATE_STEPS = 10


@dataclass
class ReplayConfig(AlgoConfig):
    """Learning from replay. Keys are explained, and defaults given, in the algorithms' yaml files."""

    discount: Fraction | None
    n_step: Count | None
    history: Literal["none", "raw", "documents"]
    network: NetworkConfig
    lr: Positive
    lr_schedule: Literal["linear", "constant"]
    lr_final_fraction: Fraction
    batch_size: Count
    replay_ratio: Positive
    replay_capacity: Count
    learning_starts: StepsOrZero
    rollout_length: Count
    target_tau: PositiveFraction

    changeable: ClassVar[tuple[str, ...]] = ("lr", "discount", "n_step", "batch_size", "replay_ratio", "target_tau")

    def __post_init__(self) -> None:
        """Check that the buffer is full enough at some time."""
        if self.learning_starts >= self.replay_capacity:
            raise ConfigError(
                f"algo.learning_starts={self.learning_starts} must be below algo.replay_capacity={self.replay_capacity}"
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
