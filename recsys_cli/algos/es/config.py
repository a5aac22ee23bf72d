"""Settings of evolution strategies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_cli.algos.evolution.config import EvolutionConfig
from recsys_cli.config.ranges import NonNegative

if TYPE_CHECKING:
    from recsys_cli.algos.es.training import EvolutionStrategies


@dataclass
class ESConfig(EvolutionConfig):
    """Evolution strategies. Keys and defaults: see `conf/algo/es.yaml`."""

    weight_decay: NonNegative

    def algorithm(self) -> type[EvolutionStrategies]:
        """Return the search, in this process."""
        from recsys_cli.algos.es.training import EvolutionStrategies

        return EvolutionStrategies
