"""The settings that contextual bandits share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from recsys_cli.algos.bandits.config import BanditConfig
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.ranges import Positive, PositiveFraction

if TYPE_CHECKING:
    from recsys_cli.policies.item_values import BanditDesign


@dataclass
class ContextualConfig(BanditConfig):
    """Item values and slates built from them. Keys and defaults: see `conf/algo/_contextual.yaml`."""

    observe: Literal["clicked", "shown"]
    slate: Literal["optimal", "top_k"]
    ridge: Positive
    forgetting: PositiveFraction
    memory: Literal["none", "raw", "documents"]

    def __post_init__(self) -> None:
        """Check that an item's value fits the slate optimiser."""
        if self.observe == "shown" and self.slate == "optimal":
            raise ConfigError(
                "algo.observe=shown values an item by the reward of showing it, including its chance of a click, which "
                "algo.slate=optimal would count twice; allowed: algo.slate=top_k, or algo.observe=clicked"
            )

    def design(self) -> BanditDesign:
        """Return the settings in the policy's form."""
        from recsys_cli.policies.item_values import BanditDesign

        return BanditDesign(self.observe, self.slate, self.ridge, self.forgetting, self.memory)
