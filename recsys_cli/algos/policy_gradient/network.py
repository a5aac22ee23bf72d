"""The actor's and the critic's networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from recsys_cli.networks.features import Observed, is_index
from recsys_cli.networks.item_values import Concat, TwoTower, mlp, with_constant
from recsys_cli.policies.network import SessionNetwork
from recsys_cli.slates.optimal import NEVER, only, shown

if TYPE_CHECKING:
    from recsys_cli.algos.gradient_config import GradientConfig
    from recsys_cli.envs.spec import ProblemSpec


class ScoredSlates:
    """Mixes with networks that act by the scores of `scorer`."""

    scorer: TwoTower | Concat
    slate_size: int

    def scores(self, observed: Observed) -> Tensor:
        """Return the scores of the candidates `[B, C]`, the log-weights of a Plackett-Luce distribution."""
        return only(self.scorer(observed.state, observed.doc)[0], observed.mask, NEVER)

    def slates(self, observed: Observed) -> Tensor:
        """Return the most probable slates `[B, k]`."""
        return shown(self.scores(observed).topk(self.slate_size, dim=-1).indices, observed.mask)


class SlateActor(ScoredSlates, SessionNetwork):
    """Scores every candidate with one shared network over user and document."""

    def __init__(self, settings: GradientConfig, spec: ProblemSpec, scale: float = 1.0) -> None:
        """Build the network for a problem's feature sizes; the number of candidates is free."""
        super().__init__(spec, settings.memory)
        self.scorer = settings.network.build(self.state_features, spec.documents, scale)


class SlateCritic(nn.Module):
    """The value of a state: of the user, and of the mean document on offer."""

    def __init__(self, settings: GradientConfig, spec: ProblemSpec, state_features: int) -> None:
        """Build the layers; `algo.network.scale` is a factor of the output."""
        super().__init__()
        self.scale, self.doc_features = settings.network.scale, len(spec.documents)
        self.layers = mlp([max(state_features, 1) + len(spec.documents), *settings.network.hidden, 1])

    def forward(self, observed: Observed) -> Tensor:
        """Return the values `[B]`."""
        state, doc = observed.state, observed.doc
        if is_index(doc):
            share = self._shares(observed)
            mean = state.new_zeros((len(doc), self.doc_features)).scatter_add_(1, doc.long(), share)
        elif observed.mask is None:
            mean = doc.mean(1)
        else:
            mean = torch.einsum("bc,bcf->bf", self._shares(observed), doc)
        value: Tensor = self.layers(torch.cat([with_constant(state), mean], dim=-1))[:, 0] * self.scale
        return value

    def _shares(self, observed: Observed) -> Tensor:
        """Return each candidate's weight in the mean, `[B, C]`."""
        if observed.mask is None:
            return observed.user.new_full(observed.doc.shape[:2], 1 / observed.doc.shape[1])
        there = observed.mask.to(observed.user.dtype)
        return there / there.sum(1, keepdim=True).clamp_min(1)
