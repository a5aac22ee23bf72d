"""CQL's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from recsys_cli.algos.itemwise.config import ItemwiseConfig
from recsys_cli.config.ranges import Count, NonNegative, Positive

if TYPE_CHECKING:
    from recsys_cli.algos.cql.algorithm import CQL


@dataclass
class CQLConfig(ItemwiseConfig):
    """Conservative Q-learning. Keys and defaults: see `conf/algo/cql.yaml`."""

    conservatism: NonNegative
    temperature: Positive
    random_slates: Count

    target: ClassVar[str] = "optimal"

    def offline_algorithm(self) -> type[CQL]:
        """Return RLlib's algorithm, fed from a log."""
        from recsys_cli.algos.cql.algorithm import CQL

        return CQL
