"""The settings of networks over (user, document), and their construction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.ranges import AtLeast, Cap, Positive, Widths

if TYPE_CHECKING:
    from recsys_cli.envs.spec import Documents
    from recsys_cli.networks.item_values import Concat, TwoTower


TRAINED_WEIGHT = 16  # bytes in training: the float32 weight, its gradient and Adam's two moments


def weights_between(widths: Sequence[int]) -> int:
    """Return the number of weights of layers of these widths."""
    return sum(below * above for below, above in pairwise(widths))


@dataclass
class ScorerConfig:
    """A network that ranks candidates.

    Attributes:
        kind: `two_tower` (fast), `concat` (the paper's MLP over user and document), or `documents` (blind to the user).
        hidden: widths of the hidden layers; none makes `two_tower` linear in the user.
        doc_hidden: width of the two-tower network's document tower, for documents that are not one-hot.
    """

    kind: Literal["two_tower", "concat", "documents"]
    hidden: list[Annotated[int, AtLeast(1), Cap(1_000_000)]]
    doc_hidden: Annotated[int, AtLeast(0), Cap(1_000_000)]

    def __post_init__(self) -> None:
        """Check that there is a layer where there must be one."""
        if self.kind == "concat" and not self.hidden:
            raise ConfigError("algo.network.hidden=[]: algo.network.kind=concat needs a hidden layer at least")

    def check_memory(self, memory: str) -> None:
        """Refuse a memory that the network ignores.

        Raises:
            ConfigError: with what is allowed.
        """
        if self.kind == "documents" and memory not in ("none", "auto"):
            raise ConfigError(
                f"algo.memory={memory} adds features of the user, whom algo.network.kind=documents ignores; "
                "allowed: algo.memory=none, or another algo.network.kind"
            )

    def weights(self, user_features: int) -> int:
        """Return the number of weights at least."""
        return weights_between([max(user_features, 1), *self.hidden]) + self.doc_hidden**2

    def build(self, state_features: int, documents: Documents, scale: float) -> TwoTower | Concat:
        """Build the network; `scale` is a factor of its outputs."""
        from recsys_cli.networks.item_values import Concat, DocumentValues, TwoTower

        if self.kind == "two_tower":
            return TwoTower(state_features, documents, self.hidden, self.doc_hidden, scale)
        if self.kind == "documents":
            return DocumentValues(documents, self.hidden, self.doc_hidden, scale)
        return Concat(state_features, documents, self.hidden, scale)


@dataclass
class NetworkConfig(ScorerConfig):
    """A network that values every candidate; it has a hidden layer at least.

    Attributes:
        scale: factor of the outputs; about the size of the values.
    """

    hidden: Widths
    scale: Positive
