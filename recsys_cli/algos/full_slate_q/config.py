"""Full-slate Q-learning's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_cli.algos.enumerated import EnumeratedConfig
from recsys_cli.algos.q_learning.config import QLearningConfig

if TYPE_CHECKING:
    from recsys_cli.algos.full_slate_q.algorithm import FullSlateQ


@dataclass
class FullSlateQConfig(EnumeratedConfig, QLearningConfig):
    """Q-learning over whole slates. Keys and defaults: see `conf/algo/full_slate_q.yaml`."""

    def algorithm(self) -> type[FullSlateQ]:
        """Return RLlib's algorithm."""
        from recsys_cli.algos.full_slate_q.algorithm import FullSlateQ

        return FullSlateQ
