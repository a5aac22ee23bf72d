"""Choice scores: how much each candidate, and not clicking, attracts the user.

All give `(v [B, C], v_null [B])`, not negative, for a conditional choice `P(i | slate) = v_i / (v_null + sum v)`.
A cascade user is approximated by it, as in the SlateQ paper (section 6.3 trains so and evaluates on cascades).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recsys_cli.envs.base import ChoiceSpec
from recsys_cli.networks.features import dot_documents, is_index
from recsys_cli.networks.item_values import TwoTower


class KnownChoice(nn.Module):
    """The user's choice model, where the score is observable: the affinity `user . doc`."""

    def __init__(self, spec: ChoiceSpec) -> None:
        """Take the problem's choice model."""
        super().__init__()
        self.spec = spec

    def forward(self, user: Tensor, doc: Tensor) -> tuple[Tensor, Tensor]:
        """Return `v` [B, C] and `v_null` [B]."""
        # What a policy remembers stands behind the user's own features.
        features = user.shape[-1] if is_index(doc) else doc.shape[-1]
        spec, affinity = self.spec, dot_documents(doc, user[..., :features])
        one = torch.ones_like(affinity[:, 0])
        match spec.kind:
            case "multinomial_logit":
                null = spec.no_click_mass * one  # may be -inf: then something is always clicked
                largest = torch.maximum(affinity.amax(-1), null)
                return (affinity - largest[:, None]).exp(), (null - largest).exp()
            case "multinomial_proportional":
                return affinity - spec.min_normalizer, one * (spec.no_click_mass - spec.min_normalizer)
            case "exponential_cascade":
                return odds(spec.attention_prob * spec.score_scaling * affinity.exp()), one
            case "proportional_cascade":
                return odds(spec.attention_prob * spec.score_scaling * (affinity - spec.min_normalizer)), one
        raise ValueError(f"no observable score for the choice model {spec.kind!r}")


def odds(click: Tensor) -> Tensor:
    """Return `p / (1 - p)`: against a null of 1 these are the scores that make a slate of one item right."""
    return click / (1 - click).clamp_min(1e-6)


class FirstPositionChoice(nn.Module):
    """The user takes whatever comes first: only one position counts, and it is always clicked."""

    def forward(self, user: Tensor, doc: Tensor) -> tuple[Tensor, Tensor]:
        """Return ones and zeros."""
        v = torch.ones(doc.shape[:2], device=doc.device)
        return v, torch.zeros_like(v[:, 0])


class LearnedChoice(nn.Module):
    """A conditional logit learned from clicks, for hidden affinities: `v = exp(score(user, doc))`."""

    def __init__(self, user_features: int, doc_features: int, one_hot: bool) -> None:
        """Build a small two-tower network for the scores."""
        super().__init__()
        self.score = TwoTower(user_features, doc_features, hidden=(32,), doc_hidden=16, one_hot=one_hot, scale=1.0)

    def forward(self, user: Tensor, doc: Tensor) -> tuple[Tensor, Tensor]:
        """Return `v` [B, C] and `v_null` [B], scaled so that the largest of a row is 1."""
        score, null = self.score(user, doc)
        largest = torch.maximum(score.amax(-1), null)
        return (score - largest[:, None]).exp(), (null - largest).exp()

    def loss(self, user: Tensor, slate_doc: Tensor, clicked: Tensor) -> Tensor:
        """Return the mean negative log-likelihood of what was clicked.

        Args:
            user: `[B, U]`.
            slate_doc: the shown documents, `[B, k, F]` or `[B, k]`.
            clicked: position clicked, `[B]`; k for none.
        """
        score, null = self.score(user, slate_doc)
        return nn.functional.cross_entropy(torch.cat([score, null[:, None]], dim=-1), clicked)


def choice_model(mode: str, spec: ChoiceSpec, user_features: int, doc_features: int, one_hot: bool) -> nn.Module:
    """Build the choice model of `algo.choice_model`: `true`, `learned`, or `auto` (true where it is observable)."""
    if spec.kind == "first_position":
        return FirstPositionChoice()
    if mode == "true" or (mode == "auto" and spec.observable):
        return KnownChoice(spec)
    return LearnedChoice(user_features, doc_features, one_hot)
