"""Settings of the myopic baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_cli.algos.base import AlgoConfig
from recsys_cli.config.errors import ConfigError
from recsys_cli.envs.spec import ProblemSpec

if TYPE_CHECKING:
    from recsys_cli.algos.training import Training
    from recsys_cli.config.schema import TrainConfig
    from recsys_cli.policies.myopic import MyopicPolicy


@dataclass
class MyopicConfig(AlgoConfig):
    """The slate of greatest expected immediate reward.

    Attributes:
        ridge: precision of the Gaussian prior of every learned weight.
    """

    ridge: float

    def __post_init__(self) -> None:
        """Check ranges."""
        if not 0 < self.ridge < float("inf"):
            raise ConfigError(f"algo.ridge={self.ridge} must be finite and above 0")

    def make_policy(self, spec: ProblemSpec, seed: int = 0) -> MyopicPolicy:
        """Build the policy, untrained; it is deterministic and ignores the seed."""
        from recsys_cli.policies.myopic import MyopicPolicy

        return MyopicPolicy(spec, self.ridge)

    def make_training(self, run: TrainConfig, seed: int) -> Training:
        """Build a training on the clicks of uniformly random slates."""
        from recsys_cli.algos.baseline_training import BaselineTraining

        policy = self.make_policy(run.env.spec, seed)
        return BaselineTraining(policy, run, seed, learn=policy.learn if policy.learns else None)

    def trains_on(self, spec: ProblemSpec) -> bool:
        """Whether the affinity is hidden, so that clicks teach something."""
        return not spec.choice.observable
