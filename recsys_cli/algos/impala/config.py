"""IMPALA's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_cli.algos.policy_gradient.config import PolicyGradientConfig
from recsys_cli.config.ranges import Positive

if TYPE_CHECKING:
    from recsys_cli.algos.impala.algorithm import SlateIMPALA


@dataclass
class VTraceConfig(PolicyGradientConfig):
    """Adds what RLlib's algorithms with V-trace share."""

    rho_clip: Positive


@dataclass
class ImpalaConfig(VTraceConfig):
    """IMPALA. Keys and defaults: see `conf/algo/impala.yaml`."""

    def algorithm(self) -> type[SlateIMPALA]:
        """Return RLlib's algorithm."""
        from recsys_cli.algos.impala.algorithm import SlateIMPALA

        return SlateIMPALA
