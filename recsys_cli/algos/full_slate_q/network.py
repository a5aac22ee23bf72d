"""Values of whole slates, and the best of all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from recsys_cli.algos.q_learning.network import QNetwork
from recsys_cli.networks.features import is_index
from recsys_cli.networks.item_values import mlp, with_constant
from recsys_cli.slates.enumeration import all_slates

if TYPE_CHECKING:
    from recsys_cli.algos.replay_config import ReplayConfig
    from recsys_cli.envs.base import EnvConfig

MAX_HIDDEN = 2**23  # numbers of a hidden layer held at once


class SlateValues(nn.Module):
    """An MLP over the user and the concatenated documents of a slate: `q(u, d_1, ..., d_k)`.

    The first layer is split, `W [u; d_1; ...] = W_u u + W_1 d_1 + ...`: a candidate's part is computed once a position,
    however many slates it is in.
    """

    def __init__(self, user_features: int, doc_features: int, size: int, hidden: list[int], scale: float) -> None:
        """Build the layers for slates of `size` documents; `scale` is a factor of the outputs."""
        super().__init__()
        self.size, self.scale = size, scale
        self.first_user = nn.Linear(max(user_features, 1), hidden[0])
        self.first_doc = nn.Linear(doc_features, size * hidden[0], bias=False)
        self.rest = nn.Sequential(nn.ReLU(inplace=True), *mlp([*hidden, 1]))

    def forward(self, user: Tensor, doc: Tensor, slates: Tensor) -> Tensor:
        """Return the values `[B, M]` of the slates `[M, size]`, each of candidates of `doc`."""
        if is_index(doc):
            parts = nn.functional.embedding(doc.long(), self.first_doc.weight.T.contiguous())
        else:
            parts = self.first_doc(doc)
        parts = parts.unflatten(-1, (self.size, -1))  # [B, C, size, H]
        hidden = self.first_user(with_constant(user))[:, None]
        for position in range(self.size):
            hidden = hidden + parts[:, slates[:, position], position]
        return self.rest(hidden).squeeze(-1) * self.scale


class FullSlateQNetwork(QNetwork):
    """Slate values and which slates there are."""

    def __init__(self, settings: ReplayConfig, env: EnvConfig) -> None:
        """Build the network for a problem's feature and slate sizes."""
        super().__init__(settings, env)
        net, self.ordered = settings.network, env.order_matters
        self.values = SlateValues(self.user_features, env.doc_features, self.attended, net.hidden, net.scale)
        self.hidden = net.hidden[0]

    def all_slates(self, num_candidates: int, device: torch.device) -> Tensor:
        """Return every slate that differs from the others, `[M, attended]`."""
        return all_slates(num_candidates, self.attended, self.ordered, device)

    def every_value(self, user: Tensor, doc: Tensor) -> Tensor:
        """Return the values `[B, M]` of all slates, so many rows at once that memory stays bounded."""
        every = self.all_slates(doc.shape[1], doc.device)
        rows = max(MAX_HIDDEN // (len(every) * self.hidden), 1)
        parts = zip(user.split(rows), doc.split(rows), strict=True)
        return torch.cat([self.values(*part, every) for part in parts])

    def whole(self, chosen: Tensor, doc: Tensor) -> Tensor:
        """Return whole slates `[B, k]` by their numbers `[B]`: others fill up where the user looks at less."""
        shown = self.all_slates(doc.shape[1], doc.device)[chosen]
        taken = torch.zeros(doc.shape[:2], device=doc.device).scatter(1, shown, 1.0)
        rest = taken.argsort(dim=1, stable=True)[:, : self.slate_size - self.attended]
        return torch.cat([shown, rest], dim=1)

    def slates(self, user: Tensor, doc: Tensor) -> Tensor:
        """Return the best whole slates `[B, k]`."""
        return self.whole(self.every_value(user, doc).argmax(-1), doc)
