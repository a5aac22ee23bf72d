"""Settings of the oracle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_cli.algos.base import AlgoConfig
from recsys_cli.envs.spec import ProblemSpec

if TYPE_CHECKING:
    from recsys_cli.algos.baseline_training import BaselineTraining
    from recsys_cli.policies import SlatePolicy


@dataclass
class OracleConfig(AlgoConfig):
    """A policy that knows the hidden state; one module a problem, `recsys_cli/policies/oracle/<problem>.py`."""

    def check(self, spec: ProblemSpec) -> None:
        """Refuse a problem that has no oracle."""
        from recsys_cli.policies.oracle import check_oracle

        check_oracle(spec)

    def make_policy(self, spec: ProblemSpec, seed: int = 0) -> SlatePolicy:
        """Build the problem's oracle."""
        from recsys_cli.policies.oracle import make_oracle

        return make_oracle(spec, seed)

    def algorithm(self) -> type[BaselineTraining]:
        """Return a training in this process."""
        from recsys_cli.algos.baseline_training import BaselineTraining

        return BaselineTraining

    def trains_on(self, spec: ProblemSpec) -> bool:
        """There is nothing to learn."""
        return False
