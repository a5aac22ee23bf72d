"""Settings of NeuralLinear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_cli.algos.bandits.contextual import ContextualConfig
from recsys_cli.algos.network_config import TRAINED_WEIGHT, weights_between
from recsys_cli.algos.replay_config import check_batch
from recsys_cli.config.ranges import Count, LearningRate, NonNegative, Widths
from recsys_cli.config.types import show
from recsys_cli.envs.spec import ProblemSpec

if TYPE_CHECKING:
    from recsys_cli.policies.item_bandit import ItemBanditPolicy


@dataclass
class NeuralLinearConfig(ContextualConfig):
    """NeuralLinear (Riquelme et al. 2018, arXiv 1802.09127). Keys: see `conf/algo/neural_linear.yaml`."""

    posterior_scale: NonNegative
    hidden: Widths
    lr: LearningRate
    batch_size: Count
    replay_ratio: NonNegative
    replay_capacity: Count
    renew_every: Count

    def check_steps(self, steps: int) -> None:
        """Refuse a representation that would never be trained, unless that is asked for by `replay_ratio=0`."""
        if self.replay_ratio:
            check_batch(self.batch_size, self.replay_ratio, steps)

    def memory_bytes(self, spec: ProblemSpec) -> dict[str, int]:
        """Add network and buffer."""
        features = len(spec.user) + len(spec.documents)
        return {
            **super().memory_bytes(spec),
            f"algo.hidden={show(self.hidden)}": TRAINED_WEIGHT * weights_between([features, *self.hidden]),
            f"algo.replay_capacity={self.replay_capacity:,}": 4 * self.replay_capacity * features,
        }

    def make_policy(self, spec: ProblemSpec, seed: int = 0) -> ItemBanditPolicy:
        """Build the policy, untrained."""
        from recsys_cli.policies.item_bandit import ItemBanditPolicy
        from recsys_cli.policies.item_index import PosteriorSample
        from recsys_cli.policies.neural_items import NeuralItems, Representation

        own = ("hidden", "lr", "batch_size", "replay_ratio", "replay_capacity", "renew_every")
        design = self.design()
        items = NeuralItems(spec, design, Representation(**{key: getattr(self, key) for key in own}), seed)
        return ItemBanditPolicy(spec, design, items, PosteriorSample(self.posterior_scale))
