"""The settings of policy gradients that learn from each round of rollouts for a few epochs, by RLlib's PPO loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recsys_cli.algos.policy_gradient.config import PolicyGradientConfig
from recsys_cli.config.ranges import Fraction

if TYPE_CHECKING:
    from recsys_cli.algos.ppo.algorithm import SlatePPOConfig
    from recsys_cli.config.schema import TrainConfig


@dataclass
class RoundsConfig(PolicyGradientConfig):
    """Adds generalised advantages."""

    gae_lambda: Fraction

    def loss_settings(self) -> dict[str, Any]:
        """Return what RLlib's `training` shall know of the loss."""
        return {}

    def algorithm_config(self, run: TrainConfig, seed: int) -> SlatePPOConfig:
        """Return RLlib's config."""
        from recsys_cli.algos.ppo.algorithm import ppo_config

        return ppo_config(self, run, seed)
