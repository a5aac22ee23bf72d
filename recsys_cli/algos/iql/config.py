"""IQL's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from recsys_cli.algos.itemwise.config import AdvantageConfig
from recsys_cli.config.ranges import Fraction

if TYPE_CHECKING:
    from recsys_cli.algos.iql.algorithm import IQL


@dataclass
class IQLConfig(AdvantageConfig):
    """Implicit Q-learning. Keys and defaults: see `conf/algo/iql.yaml`."""

    expectile: Fraction
    extraction: Literal["slate", "weighted"]

    target: ClassVar[str] = "baseline"

    @property
    def cloning(self) -> bool:
        """Whether an actor clones slates; else the slate of greatest value is shown."""
        return self.extraction == "weighted"

    def offline_algorithm(self) -> type[IQL]:
        """Return RLlib's algorithm, fed from a log."""
        from recsys_cli.algos.iql.algorithm import IQL

        return IQL
