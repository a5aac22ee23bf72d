"""Fitting linear laws by penalised likelihood, and growing them on held-out sessions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from recsys_cli.envs.learned_laws import LARGEST, Linear
from recsys_cli.envs.learned_session import Basis, Context, Floats
from recsys_cli.policies.click_models import ConditionalLogit

Blocks = tuple[str, ...]
Law = TypeVar("Law")

CONSTANT = "constant"  # name of the simplest form of most laws
RIDGE = 1.0  # precision of the prior of a weight, of features with a standard deviation of 1
RIDGES = (RIDGE, 1e-2, 1e-4)  # tried where a state that is used up may decide for certain, with large weights
FLAT = 1e-9  # standard deviation below which a feature is taken as constant


@dataclass(frozen=True)
class Form:
    """One form that a law was tried in.

    Attributes:
        law: what it is the law of.
        name: of the form.
        likelihood: mean log-likelihood of a held-out row.
        chosen: whether it is part of the law.
    """

    law: str
    name: str
    likelihood: float
    chosen: bool


@dataclass(frozen=True)
class Scaled:
    """Features brought to mean 0 and standard deviation 1; the first, 1, stays."""

    features: Floats
    centre: Floats
    scale: Floats

    @classmethod
    def of(cls, features: Floats) -> Scaled:
        """Scale features `[..., P]`; constant ones become 0."""
        axes = tuple(range(features.ndim - 1))
        centre, spread = features.mean(axes), features.std(axes)
        flat = spread < FLAT * np.maximum(1.0, np.abs(centre))
        scale = np.where(flat, 1.0, spread)
        centre[0], scale[0], flat[0] = 0.0, 1.0, False
        return cls(np.where(flat, 0.0, (features - centre) / scale), centre, np.where(flat, np.inf, scale))

    def weights(self, scaled: Floats) -> Floats:
        """Return the weights of the features as they were, of those of the scaled ones: `[P]` or `[P, m]`."""
        weights = (scaled.T / self.scale).T
        weights[0] -= self.centre[1:] @ weights[1:]
        return weights


def fit_logit(
    features: Scaled,
    clicked: NDArray[Any],
    shown: NDArray[np.bool_] | None = None,
    *,
    ridge: float = RIDGE,
) -> Floats:
    """Return the weights `[P]` of a conditional logit: penalised maximum likelihood (see `ConditionalLogit.learn`)."""
    logit = ConditionalLogit(features.features.shape[-1], ridge)
    logit.learn(features.features, clicked, shown)
    return features.weights(logit.weights)


def fit_switch(
    basis: Basis, blocks: Blocks, context: Context, happened: NDArray[np.bool_], ridge: float = RIDGE
) -> Linear:
    """Return the logit of an event, `[n]`, in contexts of one document each."""
    if happened.all() or not happened.any():
        return Linear(("one",), np.array([LARGEST if happened.all() else -LARGEST]))
    features = Scaled.of(basis(blocks, context))
    return Linear(blocks, fit_logit(features, np.where(happened, 0, 1), ridge=ridge))


def fit_mean(basis: Basis, blocks: Blocks, context: Context, target: Floats) -> Linear:
    """Return the ridge regression of `target` `[n]` in contexts of one document each."""
    scaled = Scaled.of(basis(blocks, context)[:, 0])
    return Linear(blocks, scaled.weights(least_squares(scaled.features, target)))


def least_squares(features: Floats, target: Floats, ridge: float = RIDGE) -> Floats:
    """Return ridge weights `[P]` or `[P, m]`; the first feature's, 1, is not penalised."""
    penalty = ridge * np.eye(features.shape[1])
    penalty[0, 0] = 1e-9
    return np.asarray(np.linalg.solve(features.T @ features + penalty, features.T @ target))


def event_likelihood(logits: Floats, happened: NDArray[np.bool_]) -> Floats:
    """Return the log-likelihood of events, `[n]`."""
    return -np.logaddexp(0.0, np.where(happened, -logits, logits))


def better(new: Floats, old: Floats, episode: NDArray[np.int64]) -> bool:
    """Whether held-out log-likelihoods `[n]` grew by more than two standard errors, rows clustered by episode."""
    gain = np.bincount(episode, new - old)
    gain = gain[np.bincount(episode) > 0]
    return bool(gain.sum() > 2 * gain.std() * np.sqrt(len(gain)) and gain.sum() > 0)


def grow(
    law: str,
    first: str,
    start: Blocks,
    more: Sequence[tuple[str, Blocks]],
    fit: Callable[[Blocks], Law],
    likelihood: Callable[[Law], Floats],
    episode: NDArray[np.int64],
) -> tuple[Blocks, list[Form]]:
    """Return the blocks of a law, added group by group if held-out likelihood says so, and what was tried.

    Args:
        law: its name.
        first: name of its simplest form.
        start: the blocks it has in any case.
        more: groups of blocks with their names, in the order in which they are tried.
        fit: to the training sessions.
        likelihood: of held-out rows, `[h]`.
        episode: session of each held-out row, `[h]`.
    """
    blocks, best = start, likelihood(fit(start))
    forms = [Form(law, first, _mean(best), True)]
    for name, group in more:
        if not group or not len(episode):
            continue
        tried = (*blocks, *group)
        now = likelihood(fit(tried))
        kept = better(now, best, episode)
        forms.append(Form(law, name, _mean(now), kept))
        if kept:
            blocks, best = tried, now
    return blocks, forms


def _mean(likelihood: Floats) -> float:
    return float(likelihood.mean()) if len(likelihood) else float("nan")
