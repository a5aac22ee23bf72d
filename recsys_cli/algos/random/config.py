"""Settings of the random baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_cli.algos.base import AlgoConfig
from recsys_cli.envs.spec import ProblemSpec

if TYPE_CHECKING:
    from recsys_cli.algos.baseline_training import BaselineTraining
    from recsys_cli.policies import UniformPolicy


@dataclass
class RandomConfig(AlgoConfig):
    """Uniformly random slates."""

    def make_policy(self, spec: ProblemSpec, seed: int = 0) -> UniformPolicy:
        """Build the policy."""
        from recsys_cli.policies import UniformPolicy

        return UniformPolicy(spec.slate_size)

    def algorithm(self) -> type[BaselineTraining]:
        """Return a training in this process."""
        from recsys_cli.algos.baseline_training import BaselineTraining

        return BaselineTraining

    def trains_on(self, spec: ProblemSpec) -> bool:
        """There is nothing to learn."""
        return False
