"""MARWIL's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from recsys_cli.algos.itemwise.config import AdvantageConfig

if TYPE_CHECKING:
    from recsys_cli.algos.marwil.algorithm import MARWIL


@dataclass
class MARWILConfig(AdvantageConfig):
    """MARWIL. Keys and defaults: see `conf/algo/marwil.yaml`."""

    expectile: ClassVar[float] = 0.5  # the mean
    target: ClassVar[str] = "sarsa"

    def offline_algorithm(self) -> type[MARWIL]:
        """Return RLlib's algorithm, fed from a log."""
        from recsys_cli.algos.marwil.algorithm import MARWIL

        return MARWIL
