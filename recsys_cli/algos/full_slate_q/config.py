"""Full-slate Q-learning's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_cli.algos.q_learning.config import QLearningConfig
from recsys_cli.config.errors import ConfigError
from recsys_cli.envs.base import EnvConfig
from recsys_cli.slates.enumeration import count_slates

if TYPE_CHECKING:
    from recsys_cli.algos.full_slate_q.network import FullSlateQNetwork


@dataclass
class FullSlateQConfig(QLearningConfig):
    """Q-learning over whole slates. Keys are explained, and defaults given, in `conf/algo/full_slate_q.yaml`."""

    max_slates: int

    def __post_init__(self) -> None:
        """Check ranges, and that the network is one over whole slates."""
        super().__post_init__()
        self.not_below(1, "max_slates")
        if self.network.kind != "concat" or self.network.doc_hidden:
            raise ConfigError(
                f"algo.network.kind={self.network.kind} does not go with algo.name={self.name}, whose network takes a "
                "whole slate; allowed: concat, with algo.network.doc_hidden=0"
            )

    def check(self, env: EnvConfig) -> None:
        """Refuse problems with more slates than `max_slates`."""
        super().check(env)
        count = count_slates(env.num_candidates, env.attended, env.order_matters)
        if count > self.max_slates:
            raise ConfigError(
                f"env.num_candidates={env.num_candidates} with env.slate_size={env.slate_size} makes {count:,} slates, "
                f"and algo=full_slate_q values each one at every step; algo.max_slates={self.max_slates} allows fewer. "
                "Take algo=slateq, or raise algo.max_slates"
            )

    def network_class(self) -> type[FullSlateQNetwork]:
        """Return the network."""
        from recsys_cli.algos.full_slate_q.network import FullSlateQNetwork

        return FullSlateQNetwork

    def module_class(self) -> type:
        """Return the RLlib module."""
        from recsys_cli.algos.full_slate_q.module import FullSlateQModule

        return FullSlateQModule

    def learner_class(self) -> type:
        """Return the RLlib learner."""
        from recsys_cli.algos.full_slate_q.learner import FullSlateQLearner

        return FullSlateQLearner
