"""An actor beside item values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsys_cli.algos.policy_gradient.network import ScoredSlates
from recsys_cli.algos.slateq.network import SlateQNetwork

if TYPE_CHECKING:
    from recsys_cli.algos.itemwise.config import ItemwiseConfig
    from recsys_cli.envs.spec import ProblemSpec


class ActorAndValues(ScoredSlates, SlateQNetwork):
    """Acts by scores of its own; the item values only judge slates."""

    def __init__(self, settings: ItemwiseConfig, spec: ProblemSpec) -> None:
        """Build the networks for a problem's feature sizes; the number of candidates is free."""
        super().__init__(settings, spec)
        self.scorer = settings.network.build(self.state_features, spec.documents, scale=1.0)
