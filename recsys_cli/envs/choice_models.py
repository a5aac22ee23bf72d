"""RecSim's four choice models for batches of users: scores of the shown items -> which one is clicked, if any.

Shapes: `[N, k]` for N users and k shown items; position k of a choice means no click.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from recsys_cli.config.errors import ConfigError
from recsys_cli.envs.checks import require

if TYPE_CHECKING:
    from recsys_cli.envs.spec import ChoiceSpec

LOGIT, PROPORTIONAL = "multinomial_logit", "multinomial_proportional"
EXPONENTIAL_CASCADE, PROPORTIONAL_CASCADE = "exponential_cascade", "proportional_cascade"
ChoiceModel = Literal["multinomial_logit", "multinomial_proportional", "exponential_cascade", "proportional_cascade"]

Floats = NDArray[np.floating[Any]]


def check_spec(spec: ChoiceSpec) -> None:
    """Refuse parameters for which no scores make a choice model.

    Raises:
        ConfigError: not clicking has a negative weight.
    """
    require(
        spec.kind != PROPORTIONAL or spec.no_click_mass >= spec.min_normalizer,
        f"env.no_click_mass={spec.no_click_mass} must be >= env.min_normalizer={spec.min_normalizer} "
        f"for env.choice_model={PROPORTIONAL}: the weight of not clicking is their difference",
    )


def valid_scores(spec: ChoiceSpec) -> tuple[float, float]:
    """Return the lowest and the highest score for which the choice model is defined."""
    ceiling = math.inf if spec.score_scaling == 0 else 1.0 / spec.score_scaling
    if spec.kind == PROPORTIONAL:
        return spec.min_normalizer, math.inf
    if spec.kind == PROPORTIONAL_CASCADE:
        return spec.min_normalizer, spec.min_normalizer + ceiling
    if spec.kind == EXPONENTIAL_CASCADE:
        return -math.inf, math.log(ceiling)
    return -math.inf, math.inf


def check_score_range(spec: ChoiceSpec, low: float, high: float) -> None:
    """Refuse a choice model that is undefined for some of the users' scores, from `low` to `high`.

    Raises:
        ConfigError: with the key at fault and what is allowed.
    """
    lowest, highest = valid_scores(spec)
    if low < lowest:
        raise ConfigError(
            f"env.min_normalizer={spec.min_normalizer} must be <= {low:g}, the lowest score, "
            f"for env.choice_model={spec.kind}: click weights may not be negative"
        )
    if high > highest:
        weight = math.exp(high) if spec.kind == EXPONENTIAL_CASCADE else high - spec.min_normalizer
        raise ConfigError(
            f"env.score_scaling={spec.score_scaling} must be <= {1 / weight:.6g} for env.choice_model={spec.kind}: "
            f"score {high:g} would be clicked with a probability above 1"
        )


def check_scores(spec: ChoiceSpec, scores: Floats) -> None:
    """Refuse scores for which the choice model is undefined, if the configuration could not be checked.

    Raises:
        ValueError: a score outside the model's range.
    """
    lowest, highest = valid_scores(spec)
    if scores.size and (scores.min() < lowest or scores.max() > highest):
        raise ValueError(
            f"env.choice_model={spec.kind} is defined for scores from {lowest:g} to {highest:g}, and a user's scores "
            f"run from {scores.min():g} to {scores.max():g}: change env.min_normalizer or env.score_scaling"
        )


def choice_weights(
    spec: ChoiceSpec, scores: Floats, shown: NDArray[np.bool_] | None = None
) -> tuple[Floats, Floats | float]:
    """Return unnormalised weights of clicking each shown item, `[..., k]`, and of no click, `[...]` or one number.

    For the cascades the weights are the probabilities themselves.

    Args:
        spec: the choice model and its parameters.
        scores: of the shown items, `[..., k]`, in slate order.
        shown: positions that hold an item, `[..., k]`; None: all do.
    """
    if spec.kind == PROPORTIONAL:
        return _of_shown(scores - spec.min_normalizer, shown), spec.no_click_mass - spec.min_normalizer
    if spec.kind == LOGIT:
        scores = scores if shown is None else np.where(shown, scores, -np.inf)
        top = np.maximum(scores.max(axis=-1), spec.no_click_mass)  # keeps exp from overflowing
        return np.exp(scores - top[..., None]), np.exp(spec.no_click_mass - top)
    worth = np.exp(scores) if spec.kind == EXPONENTIAL_CASCADE else scores - spec.min_normalizer
    click = _of_shown(spec.attention_prob * spec.score_scaling * worth, shown)
    passed = np.cumprod(1 - click, axis=-1)
    reached = np.concatenate([np.ones_like(passed[..., :1]), passed[..., :-1]], axis=-1)
    return reached * click, passed[..., -1]


def _of_shown(weights: Floats, shown: NDArray[np.bool_] | None) -> Floats:
    return weights if shown is None else np.where(shown, weights, 0.0)


def choice_probabilities(spec: ChoiceSpec, scores: Floats) -> Floats:
    """Return the probabilities `[..., k + 1]` of clicking each shown item and, last, none."""
    weights, none = choice_weights(spec, scores)
    weights = np.concatenate([weights, np.broadcast_to(none, weights.shape[:-1])[..., None]], axis=-1)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def single_item_score(spec: ChoiceSpec, scores: Floats) -> Floats:
    """Return the score that RecSim's choice model stores for an item shown alone.

    A weight, or for the logit and the cascades a click probability; `user_quality_factor` adds it to the utility.
    """
    if spec.kind == LOGIT:
        return choice_probabilities(spec, scores[..., None])[..., 0]
    return choice_weights(spec, scores[..., None])[0][..., 0]


def choose(
    spec: ChoiceSpec, scores: Floats, uniform: Floats, shown: NDArray[np.bool_] | None = None
) -> NDArray[np.intp]:
    """Return the clicked position `[N]`, k for none, by inverting the cumulative distribution.

    Args:
        spec: the choice model and its parameters.
        scores: of the shown items, `[N, k]`.
        uniform: one number in [0, 1) per user, `[N]`.
        shown: positions that hold an item, `[N, k]`; None: all do.
    """
    weights, none = choice_weights(spec, scores, shown)
    cumulative = np.array(weights.T, order="C")  # [k, N]: a few long rows are faster than many short ones
    for position in range(1, len(cumulative)):
        cumulative[position] += cumulative[position - 1]
    threshold = uniform * (cumulative[-1] + none)
    choice = np.zeros(len(uniform), np.intp)
    for edge in cumulative:
        choice += edge <= threshold  # "<=" and uniform < 1: an item of weight 0 is never chosen
    return choice
