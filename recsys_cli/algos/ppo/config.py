"""PPO's settings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from recsys_cli.algos.policy_gradient.rounds import RoundsConfig
from recsys_cli.config.ranges import NonNegative, Positive


@dataclass
class PPOConfig(RoundsConfig):
    """Proximal policy optimisation. Keys are explained, and defaults given, in `conf/algo/ppo.yaml`."""

    clip_param: Positive
    kl_coeff: NonNegative
    kl_target: Positive

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
