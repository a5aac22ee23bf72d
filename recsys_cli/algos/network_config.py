"""The settings of networks over (user, document), and what they build."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from recsys_cli.config.errors import ConfigError

if TYPE_CHECKING:
    from recsys_cli.envs.spec import Documents
    from recsys_cli.networks.item_values import Concat, TwoTower


@dataclass
class NetworkConfig:
    """A network that gives every candidate a number.

    Attributes:
        kind: `two_tower` (fast), `concat` (the paper's MLP over user and document), or `documents` (blind to the user).
        hidden: widths of the hidden layers.
        doc_hidden: width of the two-tower network's document tower, for documents that are not one-hot.
        scale: factor of the outputs; about the size of the values.
    """

    kind: Literal["two_tower", "concat", "documents"]
    hidden: list[int]
    doc_hidden: int
    scale: float

    def __post_init__(self) -> None:
        """Check ranges."""
        if not self.hidden or min(self.hidden) < 1:
            raise ConfigError(f"algo.network.hidden={self.hidden} must be a list of positive widths, such as [64, 64]")
        if self.doc_hidden < 0:
            raise ConfigError(f"algo.network.doc_hidden={self.doc_hidden} must be at least 0")
        if self.scale <= 0:
            raise ConfigError(f"algo.network.scale={self.scale} must be above 0")

    def check_memory(self, memory: str) -> None:
        """Refuse to remember what the network is blind to.

        Raises:
            ConfigError: says what is allowed.
        """
        if self.kind == "documents" and memory != "none":
            raise ConfigError(
                f"algo.memory={memory} adds features of the user, to whom algo.network.kind=documents is blind; "
                "allowed: algo.memory=none, or another algo.network.kind"
            )

    def build(self, state_features: int, documents: Documents, scale: float) -> TwoTower | Concat:
        """Build the network; `scale` is a factor of its outputs."""
        from recsys_cli.networks.item_values import Concat, DocumentValues, TwoTower

        if self.kind == "two_tower":
            return TwoTower(state_features, documents, self.hidden, self.doc_hidden, scale)
        if self.kind == "documents":
            return DocumentValues(documents, self.hidden, self.doc_hidden, scale)
        return Concat(state_features, documents, self.hidden, scale)
