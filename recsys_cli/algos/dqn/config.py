"""DQN's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from recsys_cli.algos.enumerated import EnumeratedConfig
from recsys_cli.config.ranges import Fraction

if TYPE_CHECKING:
    from recsys_cli.algos.dqn.algorithm import SlateDQN


@dataclass
class DQNConfig(EnumeratedConfig):
    """DQN. Keys and defaults: see `conf/algo/dqn.yaml`."""

    double_q: bool
    loss: Literal["squared", "huber"]
    epsilon_initial: Fraction
    epsilon_final: Fraction
    epsilon_fraction: Fraction

    def algorithm(self) -> type[SlateDQN]:
        """Return RLlib's algorithm."""
        from recsys_cli.algos.dqn.algorithm import SlateDQN

        return SlateDQN
