"""The settings that policy gradients share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from recsys_cli.algos.gradient_config import GradientConfig
from recsys_cli.config.ranges import Count, Fraction, NonNegative, Positive
from recsys_cli.envs.base import EnvConfig

if TYPE_CHECKING:
    from recsys_cli.algos.policy_gradient.network import SlateActor
    from recsys_cli.policies.plackett_luce import PlackettLucePolicy


@dataclass
class PolicyGradientConfig(GradientConfig):
    """Policy gradients on slates. Keys are explained, and defaults given, in the algorithms' yaml files."""

    epochs: Count
    minibatch_size: Count
    entropy_coeff: NonNegative
    entropy_final_fraction: Fraction
    value_loss_coeff: NonNegative
    grad_clip: Positive | None

    changeable: ClassVar[tuple[str, ...]] = ("lr", "discount", "epochs", "minibatch_size", "entropy_coeff")

    def policy_of(self, network: SlateActor, seed: int = 0) -> PlackettLucePolicy:
        """Return the policy that acts with `network`, whose exploration draws from a stream of that seed."""
        from recsys_cli.policies.plackett_luce import PlackettLucePolicy

        return PlackettLucePolicy(network, np.random.Generator(np.random.SFC64(seed)))

    def make_network(self, env: EnvConfig) -> SlateActor:
        """Build the actor."""
        from recsys_cli.algos.policy_gradient.network import SlateActor

        return SlateActor(self, env)
