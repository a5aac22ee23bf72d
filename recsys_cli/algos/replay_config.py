"""The settings shared by algorithms that learn from replay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from recsys_cli.algos.gradient_config import GradientConfig
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.ranges import Count, Positive, PositiveFraction, StepsOrZero
from recsys_cli.envs.spec import ProblemSpec

HIDDEN_STATE_STEPS = 10


@dataclass
class ReplayConfig(GradientConfig):
    """Learning from replay. Keys and defaults: see the yaml files."""

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

    def n_step_on(self, spec: ProblemSpec) -> int:
        """Return the number of steps before the bootstrap.

        If none is given: 1 for observed users. Without user features the next observation says nothing about the hidden
        state, so that an action's effect on it must show in the rewards themselves: 10.
        """
        return self.n_step or (1 if len(spec.user) else HIDDEN_STATE_STEPS)
