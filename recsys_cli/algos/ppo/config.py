"""PPO's settings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from recsys_cli.algos.policy_gradient.rounds import RoundsConfig


@dataclass
class PPOConfig(RoundsConfig):
    """Proximal policy optimisation. Keys are explained, and defaults given, in `conf/algo/ppo.yaml`."""

    clip_param: float
    kl_coeff: float
    kl_target: float

    def __post_init__(self) -> None:
        """Check ranges."""
        super().__post_init__()
        self.above_zero("clip_param", "kl_target")
        self.not_below(0, "kl_coeff")

    def learner_class(self) -> type:
        """Return the RLlib learner."""
        from recsys_cli.algos.ppo.learner import SlatePPOLearner

        return SlatePPOLearner

    def loss_settings(self) -> dict[str, Any]:
        """Return what RLlib's `training` shall know of the loss."""
        return {
            "clip_param": self.clip_param,
            "use_kl_loss": self.kl_coeff > 0,
            "kl_coeff": self.kl_coeff,
            "kl_target": self.kl_target,
            "vf_clip_param": math.inf,
        }
