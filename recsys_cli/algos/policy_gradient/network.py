"""The actor's and the critic's networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from recsys_cli.networks.features import is_index
from recsys_cli.networks.item_values import mlp, with_constant
from recsys_cli.policies.network import SessionNetwork

if TYPE_CHECKING:
    from recsys_cli.algos.policy_gradient.config import PolicyGradientConfig
    from recsys_cli.envs.base import EnvConfig


class SlateActor(SessionNetwork):
    """Scores every candidate with one shared network over user and document."""

    def __init__(self, settings: PolicyGradientConfig, env: EnvConfig) -> None:
        """Build the network for a problem's feature sizes; the number of candidates is free."""
        super().__init__(env, settings.history)
        self.scorer = settings.network.build(self.user_features, env.doc_features, env.one_hot_docs, scale=1.0)

    def scores(self, user: Tensor, doc: Tensor) -> Tensor:
        """Return the scores of the candidates `[B, C]`, the log-weights of a Plackett-Luce distribution."""
        scores: Tensor = self.scorer(user, doc)[0]
        return scores

    def slates(self, user: Tensor, doc: Tensor) -> Tensor:
        """Return the most probable slates `[B, k]`."""
        return self.scores(user, doc).topk(self.slate_size, dim=-1).indices


class SlateCritic(nn.Module):
    """The value of a state: of the user, and of the mean document on offer."""

    def __init__(self, settings: PolicyGradientConfig, env: EnvConfig, user_features: int) -> None:
        """Build the layers; `algo.network.scale` is a factor of the output."""
        super().__init__()
        self.scale, self.doc_features = settings.network.scale, env.doc_features
        self.layers = mlp([max(user_features, 1) + env.doc_features, *settings.network.hidden, 1])

    def forward(self, user: Tensor, doc: Tensor) -> Tensor:
        """Return the values `[B]` of `user` [B, U] and `doc` [B, C, F] (or topic numbers [B, C])."""
        if is_index(doc):
            share = user.new_full(doc.shape, 1 / doc.shape[1])
            mean = user.new_zeros((len(doc), self.doc_features)).scatter_add_(1, doc.long(), share)
        else:
            mean = doc.mean(1)
        value: Tensor = self.layers(torch.cat([with_constant(user), mean], dim=-1))[:, 0] * self.scale
        return value
