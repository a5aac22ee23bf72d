"""Full-slate Q-learning's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_cli.algos.enumerated import check_slate_network, check_slates
from recsys_cli.algos.q_learning.config import QLearningConfig
from recsys_cli.config.ranges import Count
from recsys_cli.envs.base import EnvConfig

if TYPE_CHECKING:
    from recsys_cli.algos.full_slate_q.network import FullSlateQNetwork


@dataclass
class FullSlateQConfig(QLearningConfig):
    """Q-learning over whole slates. Keys are explained, and defaults given, in `conf/algo/full_slate_q.yaml`."""

    max_slates: Count

    def __post_init__(self) -> None:
        """Check that the network is one over whole slates."""
        super().__post_init__()
        check_slate_network(self.name, self.network)

    def check(self, env: EnvConfig) -> None:
        """Refuse problems with more slates than `max_slates`."""
        super().check(env)
        check_slates(self.name, self.max_slates, env)

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
