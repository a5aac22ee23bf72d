"""Settings of the random baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_cli.algos.base import AlgoConfig
from recsys_cli.envs.base import EnvConfig

if TYPE_CHECKING:
    from recsys_cli.algos.baseline_training import BaselineTraining
    from recsys_cli.policies import UniformPolicy


@dataclass
class RandomConfig(AlgoConfig):
    """Uniformly random slates."""

    def make_policy(self, env: EnvConfig, seed: int = 0) -> UniformPolicy:
        """Build the policy."""
        from recsys_cli.policies import UniformPolicy

        return UniformPolicy(env.slate_size, seed)

    def algorithm(self) -> type[BaselineTraining]:
        """Return a training in this process."""
        from recsys_cli.algos.baseline_training import BaselineTraining

        return BaselineTraining

    def trains_on(self, env: EnvConfig) -> bool:
        """There is nothing to learn."""
        return False
