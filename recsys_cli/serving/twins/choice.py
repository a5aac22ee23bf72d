"""Choice scores of `recsys_cli.networks.choice` and of a learned conditional logit, in NumPy and float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from recsys_cli.envs.spec import ChoiceSpec
from recsys_cli.serving.twins.forward import ItemForward, dot
from recsys_cli.serving.twins.optimisers import Bools, Floats, only

Scores = tuple[Floats, Floats]
Choice = Callable[[Any, Any, Any, Bools | None], Scores]
"""`(user [B, U], state [B, S], doc [B, C, F], mask)` -> `v` [B, C] and `v_null` [B]."""


def known_choice(spec: ChoiceSpec) -> Choice:
    """Return `networks.choice.KnownChoice`."""
    rate = spec.attention_prob * spec.score_scaling

    def choice(user: Any, state: Any, doc: Any, mask: Bools | None) -> Scores:
        affinity = dot(doc, user[:, : doc.shape[2]]).astype(np.float64)
        one = np.ones(len(affinity))
        match spec.kind:
            case "multinomial_logit":
                return masses(affinity, spec.no_click_mass * one, mask)
            case "multinomial_proportional":
                return affinity - spec.min_normalizer, one * (spec.no_click_mass - spec.min_normalizer)
            case "exponential_cascade":
                return odds(rate * np.exp(affinity)), one
            case "proportional_cascade":
                return odds(rate * (affinity - spec.min_normalizer)), one
        raise ValueError(f"no observable score for the choice model {spec.kind!r}")

    return choice


def first_position(user: Any, state: Any, doc: Any, mask: Bools | None) -> Scores:
    """Return ones and zeros: `networks.choice.FirstPositionChoice`."""
    return np.ones(doc.shape[:2]), np.zeros(len(doc))


def learned_choice(score: ItemForward, proportional: bool) -> Choice:
    """Return `networks.choice.LearnedChoice` of a network's scores."""

    def choice(user: Any, state: Any, doc: Any, mask: Bools | None) -> Scores:
        scores, null = (each.astype(np.float64) for each in score(state, doc))
        if proportional:
            return np.logaddexp(0.0, scores), np.logaddexp(0.0, null)
        return masses(scores, null, mask)

    return choice


def masses(logits: Floats, null: Floats, mask: Bools | None) -> Scores:
    """Return the exponentials of logits, scaled so that the largest among those present and the null is 1."""
    largest = np.maximum(only(logits, mask).max(1), null)
    # Those absent may be larger.
    return np.exp(np.minimum(logits - largest[:, None], 0.0)), np.exp(null - largest)


def odds(click: Floats) -> Floats:
    """See `networks.choice.odds`."""
    return np.asarray(click / np.maximum(1 - click, 1e-6))
