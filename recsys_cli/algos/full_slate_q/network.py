"""Values of whole slates, and the best of all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from recsys_cli.algos.q_learning.network import QNetwork
from recsys_cli.networks.features import Observed, is_index
from recsys_cli.networks.item_values import mlp, with_constant
from recsys_cli.slates.enumeration import all_slates
from recsys_cli.slates.optimal import only, shown

if TYPE_CHECKING:
    from recsys_cli.algos.replay_config import ReplayConfig
    from recsys_cli.envs.spec import ProblemSpec

MAX_HIDDEN = 2**23  # numbers of a hidden layer held at once


class SlateValues(nn.Module):
    """An MLP over the user and the concatenated documents of a slate: `q(u, d_1, ..., d_k)`.

    The first layer is split, `W [u; d_1; ...] = W_u u + W_1 d_1 + ...`: a candidate's part is computed once a position,
    however many slates it is in.
    """

    def __init__(self, state_features: int, doc_features: int, size: int, hidden: list[int], scale: float) -> None:
        """Build the layers for slates of `size` documents; `scale` is a factor of the outputs."""
        super().__init__()
        self.size, self.scale = size, scale
        self.first_user = nn.Linear(max(state_features, 1), hidden[0])
        self.first_doc = nn.Linear(doc_features, size * hidden[0], bias=False)
        self.rest = nn.Sequential(nn.ReLU(inplace=True), *mlp([*hidden, 1]))

    def forward(self, state: Tensor, doc: Tensor, slates: Tensor) -> Tensor:
        """Return the values `[B, M]` of the slates `[M, size]`, each of candidates of `doc`."""
        if is_index(doc):
            parts = nn.functional.embedding(doc.long(), self.first_doc.weight.T.contiguous())
        else:
            parts = self.first_doc(doc)
        parts = parts.unflatten(-1, (self.size, -1))  # [B, C, size, H]
        hidden = self.first_user(with_constant(state))[:, None]
        for position in range(self.size):
            hidden = hidden + parts[:, slates[:, position], position]
        return self.rest(hidden).squeeze(-1) * self.scale


class FullSlateQNetwork(QNetwork):
    """Slate values, and the list of slates."""

    def __init__(self, settings: ReplayConfig, spec: ProblemSpec) -> None:
        """Build the network for a problem's feature and slate sizes."""
        super().__init__(settings, spec)
        net, self.ordered = settings.network, spec.order_matters
        self.values = SlateValues(self.state_features, len(spec.documents), self.attended, net.hidden, net.scale)
        self.hidden = net.hidden[0]

    def all_slates(self, num_candidates: int, device: torch.device) -> Tensor:
        """Return every slate that differs from the others, `[M, attended]`."""
        return all_slates(num_candidates, self.attended, self.ordered, device)

    def every_value(self, observed: Observed) -> Tensor:
        """Return the values `[B, M]` of all slates, so many rows at once that memory stays bounded.

        A slate with a missing candidate is worth minus infinity.
        """
        doc = observed.doc
        every = self.all_slates(doc.shape[1], doc.device)
        rows = max(MAX_HIDDEN // (len(every) * self.hidden), 1)
        parts = zip(observed.state.split(rows), doc.split(rows), strict=True)
        return only(torch.cat([self.values(*part, every) for part in parts]), self.complete(observed))

    def complete(self, observed: Observed) -> Tensor | None:
        """Return which slates have all their candidates present, `[B, M]`; None if all candidates are."""
        if observed.mask is None:
            return None
        return observed.mask[:, self.all_slates(observed.doc.shape[1], observed.doc.device)].all(-1)

    def whole(self, chosen: Tensor, observed: Observed) -> Tensor:
        """Return whole slates `[B, k]` by their numbers `[B]`: others fill up if the user looks at less."""
        doc, mask = observed.doc, observed.mask
        best = self.all_slates(doc.shape[1], doc.device)[chosen]
        taken = torch.zeros(doc.shape[:2], device=doc.device) if mask is None else 2.0 * ~mask
        # After missing candidates: a short slate would hold the best ones twice.
        rest = taken.scatter(1, best, 3.0).argsort(dim=1, stable=True)[:, : self.slate_size - self.attended]
        return torch.cat([best, shown(rest, mask)], dim=1)

    def slates(self, observed: Observed) -> Tensor:
        """Return the best whole slates `[B, k]`."""
        return self.whole(self.every_value(observed).argmax(-1), observed)
