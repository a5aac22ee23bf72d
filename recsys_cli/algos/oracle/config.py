"""Settings of the oracle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_cli.algos.base import AlgoConfig
from recsys_cli.envs.base import EnvConfig

if TYPE_CHECKING:
    from recsys_cli.algos.baseline_training import BaselineTraining
    from recsys_cli.policies import SlatePolicy


@dataclass
class OracleConfig(AlgoConfig):
    """A policy that knows the hidden state; one module a problem, `recsys_cli/policies/oracle/<problem>.py`."""

    def check(self, env: EnvConfig) -> None:
        """Refuse a problem that has no oracle."""
        from recsys_cli.policies.oracle import check_oracle

        check_oracle(env)

    def make_policy(self, env: EnvConfig, seed: int = 0) -> SlatePolicy:
        """Build the problem's oracle."""
        from recsys_cli.policies.oracle import make_oracle

        return make_oracle(env, seed)

    def algorithm(self) -> type[BaselineTraining]:
        """Return a training in this process."""
        from recsys_cli.algos.baseline_training import BaselineTraining

        return BaselineTraining

    def trains_on(self, env: EnvConfig) -> bool:
        """There is nothing to learn."""
        return False
