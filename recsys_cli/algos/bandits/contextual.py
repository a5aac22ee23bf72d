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
    """What an item brings, and slates of it. Keys are explained, and defaults given, in `conf/algo/linucb.yaml`."""

    observe: Literal["clicked", "shown"]
    slate: Literal["optimal", "top_k"]
    ridge: Positive
    forgetting: PositiveFraction
    memory: Literal["none", "raw", "documents"]

    def __post_init__(self) -> None:
        """Check what an item's value is the value of."""
        if self.observe == "shown" and self.slate == "optimal":
            raise ConfigError(
                "algo.observe=shown values an item by what showing it brings, its chance of a click included, which "
                "algo.slate=optimal would count twice; allowed: algo.slate=top_k, or algo.observe=clicked"
            )

    def design(self) -> BanditDesign:
        """Return the settings as the policy takes them."""
        from recsys_cli.policies.item_values import BanditDesign

        return BanditDesign(self.observe, self.slate, self.ridge, self.forgetting, self.memory)
