"""Settings of the random baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_cli.algos.base import AlgoConfig
from recsys_cli.envs.spec import ProblemSpec

if TYPE_CHECKING:
    from recsys_cli.algos.training import Training
    from recsys_cli.config.schema import TrainConfig
    from recsys_cli.policies import UniformPolicy


@dataclass
class RandomConfig(AlgoConfig):
    """Uniformly random slates."""

    def make_policy(self, spec: ProblemSpec, seed: int = 0) -> UniformPolicy:
        """Build the policy."""
        from recsys_cli.policies import UniformPolicy

        return UniformPolicy(spec.slate_size)

    def make_training(self, run: TrainConfig, seed: int) -> Training:
        """Build a training that learns nothing."""
        from recsys_cli.algos.baseline_training import BaselineTraining

        return BaselineTraining(self.make_policy(run.env.spec, seed), run, seed)

    def trains_on(self, spec: ProblemSpec) -> bool:
        """There is nothing to learn."""
        return False
