"""Settings of augmented random search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_cli.algos.evolution.config import EvolutionConfig
from recsys_cli.config.ranges import PositiveFraction

if TYPE_CHECKING:
    from recsys_cli.algos.ars.training import AugmentedRandomSearch


@dataclass
class ARSConfig(EvolutionConfig):
    """Augmented random search. Keys and defaults: see `conf/algo/ars.yaml`."""

    top_fraction: PositiveFraction

    def algorithm(self) -> type[AugmentedRandomSearch]:
        """Return the search, in this process."""
        from recsys_cli.algos.ars.training import AugmentedRandomSearch

        return AugmentedRandomSearch
