"""PPO's settings, and what they share with REINFORCE's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_cli.algos.policy_gradient.config import PolicyGradientConfig
from recsys_cli.config.ranges import Fraction, NonNegative, Positive

if TYPE_CHECKING:
    from recsys_cli.algos.ppo.algorithm import SlatePPO


@dataclass
class RoundsConfig(PolicyGradientConfig):
    """Learning from each round of rollouts for a few epochs, with generalised advantages."""

    gae_lambda: Fraction


@dataclass
class PPOConfig(RoundsConfig):
    """Proximal policy optimisation. Keys and defaults: see `conf/algo/ppo.yaml`."""

    clip_param: Positive
    kl_coeff: NonNegative
    kl_target: Positive

    def algorithm(self) -> type[SlatePPO]:
        """Return RLlib's algorithm."""
        from recsys_cli.algos.ppo.algorithm import SlatePPO

        return SlatePPO
