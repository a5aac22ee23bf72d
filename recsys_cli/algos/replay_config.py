"""The settings shared by algorithms that learn from replay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from recsys_cli.algos.gradient_config import DiscountedConfig, minibatch_bytes
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.ranges import Count, Positive, PositiveFraction, StepsOrZero
from recsys_cli.envs.spec import ProblemSpec

HIDDEN_STATE_STEPS = 10


def check_batch(batch_size: int, replay_ratio: float, steps: int) -> None:
    """Refuse a batch larger than all the rows to learn from: there would be no gradient step.

    Raises:
        ConfigError: with the largest one possible.
    """
    rows = int(replay_ratio * steps)
    if batch_size > rows:
        raise ConfigError(
            f"algo.batch_size={batch_size}: {steps:,} steps used algo.replay_ratio={replay_ratio:g} times each make "
            f"{rows:,} rows, so nothing would be learned; at most that many are possible"
        )


def n_step_on(n_step: int | None, spec: ProblemSpec) -> int:
    """Return the number of steps before the bootstrap.

    If none is given: 1 for observed users. Without user features the next observation says nothing about the hidden
    state, so that an action's effect on it must show in the rewards themselves: 10.
    """
    return n_step or (1 if len(spec.user) else HIDDEN_STATE_STEPS)


@dataclass
class ReplayConfig(DiscountedConfig):
    """Learning from replay. Keys and defaults: see the yaml files."""

    rollout_length: Count
    n_step: Count | None
    batch_size: Count
    replay_ratio: Positive
    replay_capacity: Count
    learning_starts: StepsOrZero
    target_tau: PositiveFraction

    changeable: ClassVar[tuple[str, ...]] = ("lr", "discount", "n_step", "batch_size", "replay_ratio", "target_tau")

    def __post_init__(self) -> None:
        """Check that the buffer can fill enough to start learning."""
        super().__post_init__()
        if self.learning_starts >= self.replay_capacity:
            raise ConfigError(
                f"algo.learning_starts={self.learning_starts} must be below algo.replay_capacity={self.replay_capacity}"
            )
        if self.batch_size > self.replay_capacity:
            raise ConfigError(
                f"algo.batch_size={self.batch_size} must be at most algo.replay_capacity={self.replay_capacity}"
            )

    def check_steps(self, steps: int) -> None:
        """Refuse a training without a gradient step."""
        if self.learning_starts >= steps:
            raise ConfigError(
                f"algo.learning_starts={self.learning_starts}: nothing would be learned in steps={steps}; set it below"
            )
        check_batch(self.batch_size, self.replay_ratio, steps - self.learning_starts)

    def memory_bytes(self, spec: ProblemSpec) -> dict[str, int]:
        """Add the buffer, and the columns and hidden layers of a batch."""
        return {**super().memory_bytes(spec), **minibatch_bytes(self, spec)}

    def n_step_on(self, spec: ProblemSpec) -> int:
        """Return the number of steps before the bootstrap."""
        return n_step_on(self.n_step, spec)
