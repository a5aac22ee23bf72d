"""Settings of NeuralLinear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_cli.algos.bandits.contextual import ContextualConfig
from recsys_cli.config.ranges import Count, NonNegative, Positive, Widths
from recsys_cli.envs.spec import ProblemSpec

if TYPE_CHECKING:
    from recsys_cli.policies.item_bandit import ItemBanditPolicy


@dataclass
class NeuralLinearConfig(ContextualConfig):
    """NeuralLinear (Riquelme et al. 2018, arXiv 1802.09127). Keys: see `conf/algo/neural_linear.yaml`."""

    posterior_scale: NonNegative
    hidden: Widths
    lr: Positive
    batch_size: Count
    replay_ratio: NonNegative
    replay_capacity: Count
    renew_every: Count

    def make_policy(self, spec: ProblemSpec, seed: int = 0) -> ItemBanditPolicy:
        """Build the policy, untrained."""
        from recsys_cli.policies.item_bandit import ItemBanditPolicy
        from recsys_cli.policies.item_index import PosteriorSample
        from recsys_cli.policies.neural_items import NeuralItems, Representation

        own = ("hidden", "lr", "batch_size", "replay_ratio", "replay_capacity", "renew_every")
        design = self.design()
        items = NeuralItems(spec, design, Representation(**{key: getattr(self, key) for key in own}), seed)
        return ItemBanditPolicy(spec, design, items, PosteriorSample(self.posterior_scale))
