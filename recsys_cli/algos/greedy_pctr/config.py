"""Settings of greedy pCTR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_cli.algos.myopic.config import MyopicConfig
from recsys_cli.envs.spec import ProblemSpec

if TYPE_CHECKING:
    from recsys_cli.policies.greedy_pctr import GreedyPCTRPolicy


@dataclass
class GreedyPCTRConfig(MyopicConfig):
    """The documents most likely to be clicked; settings and training are the myopic baseline's."""

    def make_policy(self, spec: ProblemSpec, seed: int = 0) -> GreedyPCTRPolicy:
        """Build the policy, untrained; it is deterministic and ignores the seed."""
        from recsys_cli.policies.greedy_pctr import GreedyPCTRPolicy

        return GreedyPCTRPolicy(spec, self.ridge)

    def trains_on(self, spec: ProblemSpec) -> bool:
        """Whether the choice is hidden, so that clicks teach something."""
        return super().trains_on(spec) and spec.choice.kind != "first_position"
