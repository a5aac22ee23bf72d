"""Settings of NeuralLinear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_cli.algos.bandits.contextual import ContextualConfig
from recsys_cli.config.errors import ConfigError
from recsys_cli.envs.spec import ProblemSpec

if TYPE_CHECKING:
    from recsys_cli.policies.item_bandit import ItemBanditPolicy


@dataclass
class NeuralLinearConfig(ContextualConfig):
    """NeuralLinear (Riquelme et al. 2018, arXiv 1802.09127). Keys are explained in `conf/algo/neural_linear.yaml`."""

    posterior_scale: float
    hidden: list[int]
    lr: float
    batch_size: int
    replay_ratio: float
    replay_capacity: int
    renew_every: int

    def __post_init__(self) -> None:
        """Check ranges."""
        super().__post_init__()
        if not self.hidden or min(self.hidden) < 1:
            raise ConfigError(f"algo.hidden={self.hidden} must name at least one layer, each of width 1 or more")
        for key in ("posterior_scale", "replay_ratio"):
            if not 0 <= getattr(self, key) < float("inf"):
                raise ConfigError(f"algo.{key}={getattr(self, key)} must be finite and not negative")
        if not 0 < self.lr < float("inf"):
            raise ConfigError(f"algo.lr={self.lr} must be finite and above 0")
        self.not_below(1, "batch_size", "replay_capacity", "renew_every")

    def make_policy(self, spec: ProblemSpec, seed: int = 0) -> ItemBanditPolicy:
        """Build the policy, untrained."""
        from recsys_cli.policies.item_bandit import ItemBanditPolicy
        from recsys_cli.policies.item_index import PosteriorSample
        from recsys_cli.policies.neural_items import NeuralItems, Representation

        own = ("hidden", "lr", "batch_size", "replay_ratio", "replay_capacity", "renew_every")
        design = self.design()
        items = NeuralItems(spec, design, Representation(**{key: getattr(self, key) for key in own}), seed)
        return ItemBanditPolicy(spec, design, items, PosteriorSample(self.posterior_scale))
