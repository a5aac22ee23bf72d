"""AWR's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from recsys_cli.algos.itemwise.config import AdvantageConfig

if TYPE_CHECKING:
    from recsys_cli.algos.awr.algorithm import AWR


@dataclass
class AWRConfig(AdvantageConfig):
    """AWR. Keys and defaults: see `conf/algo/awr.yaml`."""

    expectile: ClassVar[float] = 0.5  # the mean
    target: ClassVar[str] = "optimal"

    def offline_algorithm(self) -> type[AWR]:
        """Return RLlib's algorithm, fed from a log."""
        from recsys_cli.algos.awr.algorithm import AWR

        return AWR
