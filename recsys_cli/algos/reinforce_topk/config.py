"""REINFORCE's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_cli.algos.ppo.config import RoundsConfig
from recsys_cli.config.ranges import Positive

if TYPE_CHECKING:
    from recsys_cli.algos.reinforce_topk.learner import ReinforceTopK


@dataclass
class ReinforceTopKConfig(RoundsConfig):
    """Top-K REINFORCE. Keys and defaults: see `conf/algo/reinforce_topk.yaml`."""

    weight_cap: Positive
    top_k_correction: bool

    def algorithm(self) -> type[ReinforceTopK]:
        """Return RLlib's algorithm."""
        from recsys_cli.algos.reinforce_topk.learner import ReinforceTopK

        return ReinforceTopK
