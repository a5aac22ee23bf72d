"""The settings that policy gradients share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from recsys_cli.algos.gradient_config import DiscountedConfig
from recsys_cli.config.ranges import Count, Fraction, NonNegative, Positive
from recsys_cli.envs.spec import ProblemSpec

if TYPE_CHECKING:
    from recsys_cli.algos.policy_gradient.network import SlateActor
    from recsys_cli.policies.network import PlackettLucePolicy


@dataclass
class PolicyGradientConfig(DiscountedConfig):
    """Policy gradients on slates. Keys and defaults: see the yaml files."""

    rollout_length: Count
    epochs: Count
    minibatch_size: Count
    entropy_coeff: NonNegative
    entropy_final_fraction: Fraction
    value_loss_coeff: NonNegative
    grad_clip: Positive | None

    starts_from: ClassVar[str] = "the actor of {}; the critic begins anew"
    changeable: ClassVar[tuple[str, ...]] = ("lr", "discount", "epochs", "minibatch_size", "entropy_coeff")

    def policy_of(self, network: SlateActor) -> PlackettLucePolicy:
        """Return the policy that acts with `network`."""
        from recsys_cli.policies.network import PlackettLucePolicy

        return PlackettLucePolicy(network)

    def make_network(self, spec: ProblemSpec) -> SlateActor:
        """Build the actor."""
        from recsys_cli.algos.policy_gradient.network import SlateActor

        return SlateActor(self, spec)
