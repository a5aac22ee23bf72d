"""Settings of greedy pCTR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_cli.algos.myopic.config import MyopicConfig
from recsys_cli.envs.base import EnvConfig

if TYPE_CHECKING:
    from recsys_cli.policies.greedy_pctr import GreedyPCTRPolicy


@dataclass
class GreedyPCTRConfig(MyopicConfig):
    """The documents most likely to be clicked; settings and training are the myopic baseline's."""

    def make_policy(self, env: EnvConfig, seed: int = 0) -> GreedyPCTRPolicy:
        """Build the policy, untrained; it is deterministic and ignores the seed."""
        from recsys_cli.policies.greedy_pctr import GreedyPCTRPolicy

        return GreedyPCTRPolicy(env, self.ridge)

    def trains_on(self, env: EnvConfig) -> bool:
        """Whether the choice is hidden, so that clicks teach something."""
        return super().trains_on(env) and env.choice_spec().kind != "first_position"
