"""IMPALA's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_cli.algos.policy_gradient.config import PolicyGradientConfig
from recsys_cli.config.ranges import Positive

if TYPE_CHECKING:
    from recsys_cli.algos.impala.algorithm import SlateIMPALAConfig
    from recsys_cli.config.schema import TrainConfig


@dataclass
class VTraceConfig(PolicyGradientConfig):
    """Adds what RLlib's algorithms with V-trace share."""

    rho_clip: Positive


@dataclass
class ImpalaConfig(VTraceConfig):
    """IMPALA. Keys are explained, and defaults given, in `conf/algo/impala.yaml`."""

    def learner_class(self) -> type:
        """Return the RLlib learner."""
        from recsys_cli.algos.impala.algorithm import SlateIMPALALearner

        return SlateIMPALALearner

    def algorithm_config(self, run: TrainConfig, seed: int) -> SlateIMPALAConfig:
        """Return RLlib's config."""
        from recsys_cli.algos.impala.algorithm import SlateIMPALAConfig

        config = SlateIMPALAConfig()
        config.of_v_trace(self, run, seed)
        return config
