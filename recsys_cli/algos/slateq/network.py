"""SlateQ's network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from recsys_cli.algos.q_learning.network import QNetwork
from recsys_cli.networks.choice import choice_model
from recsys_cli.slates.optimisers import OPTIMISERS, slate_scores, whole_slates

if TYPE_CHECKING:
    from recsys_cli.algos.slateq.config import SlateQConfig
    from recsys_cli.envs.base import EnvConfig
    from recsys_cli.networks.item_values import Concat, TwoTower


class SlateQNetwork(QNetwork):
    """Item values, the null's value, and choice scores: all that a slate's value needs."""

    values: TwoTower | Concat

    def __init__(self, settings: SlateQConfig, env: EnvConfig) -> None:
        """Build the networks for a problem's feature sizes; the number of candidates is free."""
        super().__init__(settings, env)
        net, sizes = settings.network, (self.user_features, env.doc_features)
        self.values = net.build(*sizes, env.one_hot_docs, net.scale)
        self.choice = choice_model(settings.choice_model, env.choice_spec(), *sizes, env.one_hot_docs)
        self.learned_null = settings.null_value == "learned"
        self.serving = OPTIMISERS[settings.serving]

    def item_values(self, user: Tensor, doc: Tensor) -> tuple[Tensor, Tensor]:
        """Return `q` [B, C] and `q_null` [B], which is 0 in the paper's variant (`null_value=zero`)."""
        q, q_null = self.values(user, doc)
        return q, q_null if self.learned_null else torch.zeros_like(q_null)

    def slates(self, user: Tensor, doc: Tensor) -> Tensor:
        """Return whole slates `[B, k]`: the best one, filled up by value where the user looks at less than k."""
        return whole_slates(*self._parts(user, doc), self.slate_size, self.attended, self.serving)

    def scores(self, user: Tensor, doc: Tensor) -> Tensor:
        """Return scores `[B, C]`, of which the greatest, falling, are the best slate; in the unit of rewards."""
        parts = self._parts(user, doc)
        best = whole_slates(*parts, self.slate_size, self.attended, self.serving)
        return slate_scores([part.double() for part in parts], best, self.attended)

    def _parts(self, user: Tensor, doc: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        (v, v_null), (q, q_null) = self.choice(user, doc), self.item_values(user, doc)
        return v, q, v_null, q_null
