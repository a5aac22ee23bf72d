"""The settings that algorithms share which learn from replay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from recsys_cli.algos.base import AlgoConfig
from recsys_cli.algos.discounting import check_discount, discount_on
from recsys_cli.algos.network_config import NetworkConfig
from recsys_cli.config.errors import ConfigError
from recsys_cli.envs.spec import ProblemSpec

HIDDEN_STATE_STEPS = 10


@dataclass
class ReplayConfig(AlgoConfig):
    """Learning from replay. Keys are explained, and defaults given, in the algorithms' yaml files."""

    discount: float | None
    n_step: int | None
    memory: Literal["none", "raw", "documents"]
    network: NetworkConfig
    lr: float
    lr_schedule: Literal["linear", "constant"]
    lr_final_fraction: float
    batch_size: int
    replay_ratio: float
    replay_capacity: int
    learning_starts: int
    rollout_length: int
    target_tau: float

    changeable: ClassVar[tuple[str, ...]] = ("lr", "discount", "n_step", "batch_size", "replay_ratio", "target_tau")

    def __post_init__(self) -> None:
        """Check ranges."""
        self.in_range("discount", "lr_final_fraction")
        if not 0 < self.target_tau <= 1:
            raise ConfigError(f"algo.target_tau={self.target_tau} must lie above 0 and at most at 1")
        self.above_zero("lr", "replay_ratio")
        self.not_below(1, "batch_size", "rollout_length", "replay_capacity", "n_step")
        if not 0 <= self.learning_starts < self.replay_capacity:
            raise ConfigError(
                f"algo.learning_starts={self.learning_starts} must be at least 0 and "
                f"below algo.replay_capacity={self.replay_capacity}"
            )

    def check(self, spec: ProblemSpec) -> None:
        """Refuse a discount of 1 where episodes never terminate."""
        check_discount(self.discount, spec)

    def discount_on(self, spec: ProblemSpec) -> float:
        """Return the discount of one step."""
        return discount_on(self.discount, spec)

    def n_step_on(self, spec: ProblemSpec) -> int:
        """Return the number of steps before the bootstrap.

        Where none is given: 1 for users who are observed. Of a user without features the next observation tells
        nothing, so that what an action does to the hidden state must show in the rewards themselves: 10.
        """
        return self.n_step or (1 if len(spec.user) else HIDDEN_STATE_STEPS)
