"""Choice scores: how much each candidate, and not clicking, attracts the user.

All map an `Observed` to non-negative `(v [B, C], v_null [B])` of a conditional choice
`P(i | slate) = v_i / (v_null + sum v)`, which also approximates cascade users, as in the SlateQ paper (section 6.3
trains with it and evaluates on cascades).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recsys_cli.envs.spec import ChoiceSpec, Documents
from recsys_cli.networks.features import Observed, dot_documents, is_index
from recsys_cli.networks.item_values import TwoTower
from recsys_cli.slates.optimal import only


class KnownChoice(nn.Module):
    """The user's choice model, if the score is observable: the affinity `user . doc`, whatever else users show."""

    def __init__(self, spec: ChoiceSpec) -> None:
        """Take the problem's choice model."""
        super().__init__()
        self.spec = spec

    def forward(self, observed: Observed) -> tuple[Tensor, Tensor]:
        """Return `v` [B, C] and `v_null` [B]."""
        interests = observed.user if is_index(observed.doc) else observed.user[:, : observed.doc.shape[-1]]
        spec, affinity = self.spec, dot_documents(observed.doc, interests)
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
    """Return `p / (1 - p)`: against a null of 1, scores that are exact for slates of one item."""
    return click / (1 - click).clamp_min(1e-6)


class FirstPositionChoice(nn.Module):
    """The user always clicks the first position."""

    def forward(self, observed: Observed) -> tuple[Tensor, Tensor]:
        """Return ones and zeros."""
        v = torch.ones(observed.doc.shape[:2], device=observed.doc.device)
        return v, torch.zeros_like(v[:, 0])


class LearnedChoice(nn.Module):
    """A conditional choice learned from clicks: `v = exp(score)` (logit) or `v = softplus(score)` (proportional).

    Both can express every positive v; the proportional form fits users whose v is linear in the observation better.
    """

    def __init__(self, state_features: int, documents: Documents, proportional: bool = False) -> None:
        """Build a small two-tower network for the scores."""
        super().__init__()
        self.proportional = proportional
        self.score = TwoTower(state_features, documents, hidden=(32,), doc_hidden=16, scale=1.0)

    def forward(self, observed: Observed) -> tuple[Tensor, Tensor]:
        """Return `v` [B, C] and `v_null` [B]; a logit's are scaled so that the largest of a row is 1."""
        score, null = self.score(observed.state, observed.doc)
        if self.proportional:
            return nn.functional.softplus(score), nn.functional.softplus(null)
        largest = torch.maximum(score.amax(-1), null)
        return (score - largest[:, None]).exp(), (null - largest).exp()

    def loss(self, observed: Observed, clicked: Tensor) -> Tensor:
        """Return the mean negative log-likelihood of what was clicked.

        Args:
            observed: with the k shown documents as candidates.
            clicked: position clicked, `[B]`; k for none.
        """
        v, v_null = self(observed)
        return -log_likelihood(only(v, observed.mask, 0.0), v_null, clicked)


def log_likelihood(v: Tensor, v_null: Tensor, clicked: Tensor) -> Tensor:
    """Return the mean log-probability of what was clicked.

    Args:
        v: choice scores of the shown documents, `[B, k]`.
        v_null: score of not clicking, `[B]`.
        clicked: position clicked, `[B]`; k for none.
    """
    mass = torch.cat([v, v_null[:, None]], dim=-1)
    smallest = torch.finfo(v.dtype).tiny
    chosen = mass.gather(-1, clicked[:, None])[:, 0].clamp_min(smallest)
    return (chosen.log() - mass.sum(-1).clamp_min(smallest).log()).mean()


def choice_model(mode: str, spec: ChoiceSpec, state_features: int, documents: Documents) -> nn.Module:
    """Build the choice model of `algo.choice_model`.

    `true`: the known one. `learned` (logit), `learned_proportional`: from clicks. `auto`: true if it is observable.
    """
    if spec.kind == "first_position":
        return FirstPositionChoice()
    if mode == "true" or (mode == "auto" and spec.observable):
        return KnownChoice(spec)
    return LearnedChoice(state_features, documents, proportional=mode == "learned_proportional")
