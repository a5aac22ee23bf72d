"""The settings that Q-learning algorithms share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from recsys_cli.algos.replay_config import ReplayConfig
from recsys_cli.config.ranges import Count, Fraction, NonNegative


@dataclass
class QLearningConfig(ReplayConfig):
    """Q-learning from replay. Keys and defaults: see the yaml files."""

    double_q: bool
    loss: Literal["squared", "huber"]
    optimizer: Literal["adam", "rmsprop"]
    replay: Literal["uniform", "prioritized"]
    priority_alpha: Fraction
    priority_beta: Fraction
    target_update: Literal["polyak", "periodic"]
    target_period: Count
    epsilon_initial: Fraction
    epsilon_final: Fraction
    epsilon_fraction: Fraction
    epsilon_spread: NonNegative

    changeable: ClassVar[tuple[str, ...]] = (*ReplayConfig.changeable, "double_q", "loss", "epsilon_final")

    @property
    def compiles(self) -> bool:
        """It has gradient steps of one graph."""
        return True
