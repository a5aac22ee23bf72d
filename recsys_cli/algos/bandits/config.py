"""The settings that bandits share."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from recsys_cli.algos.base import AlgoConfig
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.resources import FrameworkConfig, ResourcesConfig
from recsys_cli.envs.base import EnvConfig

if TYPE_CHECKING:
    from recsys_cli.algos.training import Training
    from recsys_cli.config.schema import TrainConfig
    from recsys_cli.policies.bandit import BanditPolicy


@dataclass
class BanditConfig(AlgoConfig):
    """What every bandit has.

    Attributes:
        rollout_length: lock-steps a runner plays between two updates.
    """

    rollout_length: int

    metrics: ClassVar[tuple[str, ...]] = (*AlgoConfig.metrics, "train/regret", "train/cumulative_regret")

    def __post_init__(self) -> None:
        """Check ranges."""
        self.not_below(1, "rollout_length")

    def check_resources(self, resources: ResourcesConfig, framework: FrameworkConfig) -> None:
        """Refuse what would split an update: a posterior is computed in one place, on the CPU."""
        super().check_resources(resources, framework)
        check_one_cpu_learner(self.name, resources)

    @abstractmethod
    def make_policy(self, env: EnvConfig, seed: int = 0) -> BanditPolicy:
        """Build the policy, untrained."""

    def module_class(self) -> type:
        """Return the RLlib module."""
        from recsys_cli.algos.bandits.module import BanditModule

        return BanditModule

    def learner_class(self) -> type:
        """Return the RLlib learner."""
        from recsys_cli.algos.bandits.learner import BanditLearner

        return BanditLearner

    def make_training(self, run: TrainConfig, seed: int) -> Training:
        """Build RLlib's algorithm."""
        from recsys_cli.algos.bandits.algorithm import bandit_algorithm_config
        from recsys_cli.algos.bandits.regret import RegretTraining

        return RegretTraining(bandit_algorithm_config(self, run, seed))


def check_one_learner(name: str, resources: ResourcesConfig) -> None:
    """Refuse several learners.

    Raises:
        ConfigError: says so.
    """
    if resources.learners > 1:
        raise ConfigError(f"resources.learners={resources.learners}: algo={name} learns in one process at most")


def check_one_cpu_learner(name: str, resources: ResourcesConfig) -> None:
    """Refuse several learners, and GPUs.

    Raises:
        ConfigError: says which.
    """
    check_one_learner(name, resources)
    if resources.gpus_per_learner:
        gpus = f"resources.gpus_per_learner={resources.gpus_per_learner:g}"
        raise ConfigError(f"{gpus}: algo={name} learns on the CPU; allowed: 0")
