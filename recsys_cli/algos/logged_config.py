"""The settings shared by algorithms that learn from logged data only."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from recsys_cli.algos.gradient_config import GradientConfig, minibatch_bytes
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.ranges import Count
from recsys_cli.envs.spec import ProblemSpec

if TYPE_CHECKING:
    from recsys_cli.algos.offline_algorithm import OfflineAlgorithm


@dataclass
class LoggedConfig(GradientConfig):
    """Learning from minibatches of a log. Keys and defaults: see the yaml files."""

    batch_size: Count
    replay_capacity: Count

    learns_from: ClassVar[tuple[str, ...]] = ("data",)
    changeable: ClassVar[tuple[str, ...]] = ("lr", "batch_size")
    optimizer: ClassVar[str] = "adam"
    rollout_length: ClassVar[int] = 1  # RLlib asks; nothing is played

    def check_steps(self, steps: int) -> None:
        """Refuse a training without a gradient step."""
        if self.batch_size > steps:
            raise ConfigError(f"algo.batch_size={self.batch_size}: steps={steps} rows of the log make no minibatch")

    def memory_bytes(self, spec: ProblemSpec) -> dict[str, int]:
        """Add the rows held, and the columns and hidden layers of a batch."""
        return {**super().memory_bytes(spec), **minibatch_bytes(self, spec)}

    def discount_on(self, spec: ProblemSpec) -> float:
        """Return the discount of one step."""
        return 1.0

    def n_step_on(self, spec: ProblemSpec) -> int:
        """Return the number of steps before the bootstrap."""
        return 1

    @abstractmethod
    def offline_algorithm(self) -> type[OfflineAlgorithm]:
        """Return RLlib's algorithm, fed from a log."""

    def algorithm(self) -> type[Any]:
        """Return the same: there is no other."""
        return self.offline_algorithm()
