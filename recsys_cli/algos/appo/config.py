"""APPO's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_cli.algos.impala.config import VTraceConfig
from recsys_cli.config.ranges import NonNegative, Positive, PositiveFraction

if TYPE_CHECKING:
    from recsys_cli.algos.appo.algorithm import SlateAPPO


@dataclass
class APPOConfig(VTraceConfig):
    """Asynchronous PPO. Keys and defaults: see `conf/algo/appo.yaml`."""

    clip_param: Positive
    kl_coeff: NonNegative
    kl_target: Positive
    target_tau: PositiveFraction

    def algorithm(self) -> type[SlateAPPO]:
        """Return RLlib's algorithm."""
        from recsys_cli.algos.appo.algorithm import SlateAPPO

        return SlateAPPO
