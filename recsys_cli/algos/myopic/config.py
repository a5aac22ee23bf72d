"""Settings of the myopic baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_cli.algos.base import AlgoConfig
from recsys_cli.config.ranges import Positive
from recsys_cli.envs.base import EnvConfig

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

    ridge: Positive

    def make_policy(self, env: EnvConfig, seed: int = 0) -> MyopicPolicy:
        """Build the policy, untrained; it is deterministic and ignores the seed."""
        from recsys_cli.policies.myopic import MyopicPolicy

        return MyopicPolicy(env, self.ridge)

    def make_training(self, run: TrainConfig, seed: int) -> Training:
        """Build a training on the clicks of uniformly random slates."""
        from recsys_cli.algos.baseline_training import BaselineTraining

        policy = self.make_policy(run.env, seed)
        return BaselineTraining(policy, run, seed, learn=policy.learn if policy.learns else None)

    def trains_on(self, env: EnvConfig) -> bool:
        """Whether the affinity is hidden, so that clicks teach something."""
        return not env.choice_spec().observable
