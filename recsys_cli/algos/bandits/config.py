"""The settings that bandits share."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from recsys_cli.algos.base import AlgoConfig
from recsys_cli.config.ranges import Count
from recsys_cli.envs.spec import ProblemSpec

if TYPE_CHECKING:
    from recsys_cli.algos.bandits.algorithm import Bandit
    from recsys_cli.algos.logged_training import LoggedTraining
    from recsys_cli.policies.bandit import BanditPolicy


@dataclass
class BanditConfig(AlgoConfig):
    """What every bandit has.

    Attributes:
        rollout_length: lock-steps a runner plays between updates.
    """

    rollout_length: Count

    metrics: ClassVar[tuple[str, ...]] = (*AlgoConfig.metrics, "train/regret", "train/cumulative_regret")
    learns_from: ClassVar[tuple[str, ...]] = ("env", "data")
    starts_from: ClassVar[str] = "the posterior of {}"
    several_learners: ClassVar[bool] = False  # a posterior is computed in one place, on the CPU
    uses_gpus: ClassVar[bool] = False

    @abstractmethod
    def make_policy(self, spec: ProblemSpec, seed: int = 0) -> BanditPolicy:
        """Build the policy, untrained."""

    def offline_algorithm(self) -> type[LoggedTraining]:
        """Return a training in this process."""
        from recsys_cli.algos.logged_training import LoggedTraining

        return LoggedTraining

    def algorithm(self) -> type[Bandit]:
        """Return RLlib's algorithm."""
        from recsys_cli.algos.bandits.algorithm import Bandit

        return Bandit
