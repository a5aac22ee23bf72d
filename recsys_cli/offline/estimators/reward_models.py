"""Linear models of one step's reward, for DM and the doubly robust estimators.

A model is `q(x, a) = features(x, a)' beta`. What an action is, its features say: one-hot items, or, for slates under a
known choice model, the features of the documents weighted by their probabilities of being clicked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.offline.estimators.influence import Floats

Fit = Callable[[NDArray[np.bool_]], Floats]
"""From the rows to be used, `[n]`, to coefficients `[d]`."""


def least_squares(features: Floats, reward: Floats, ridge: float | Floats) -> Floats:
    """Return the ridge regression's coefficients `[d]`.

    Args:
        features: `[n, d]`.
        reward: `[n]`.
        ridge: added to the diagonal of the normal equations; one number, or one a feature.
    """
    gram = features.T @ features
    gram[np.diag_indices_from(gram)] += ridge
    return np.asarray(np.linalg.solve(gram, features.T @ reward))


def most_robust(weight: Floats, logged: Floats, target: Floats, reward: Floats, ridge: float | Floats) -> Floats:
    """Return the coefficients that minimise the variance of DR (MRDR: Farajtabar et al. 2018, section 4.1).

    The part of DR's variance that the model can change is `E[w^2 (r - q)^2] - E[(E[w (r - q) | x])^2]`; its estimate
    from single actions is quadratic in the coefficients.

    Args:
        weight: of the logged actions, `[n]`.
        logged: features of the logged actions, `[n, d]`.
        target: their means under the target policy, `[n, d]`.
        reward: `[n]`.
        ridge: as for `least_squares`.
    """
    weighted = weight[:, None] * logged
    gram = weighted.T @ weighted - target.T @ target
    # The difference is positive semidefinite in expectation only; in a small sample it need not be.
    value, vector = np.linalg.eigh(gram)
    gram = (vector * np.maximum(value, 0.0)) @ vector.T
    gram[np.diag_indices_from(gram)] += ridge
    return np.asarray(np.linalg.solve(gram, (weighted - target).T @ (weight * reward)))


def cross_fitted(fit: Fit, logged: Floats, target: Floats, fold: NDArray[Any]) -> tuple[Floats, Floats]:
    """Return q and v `[n]`, those of every fold from coefficients fitted on the other folds.

    Args:
        fit: the fit.
        logged: features of the logged actions, `[n, d]`.
        target: their means under the target policy, `[n, d]`.
        fold: of every row, `[n]`; rows that depend on each other, such as an episode's, share one.
    """
    q, v = np.empty(len(logged)), np.empty(len(logged))
    for number in np.unique(fold):
        held = fold == number
        beta = fit(~held)
        q[held], v[held] = logged[held] @ beta, target[held] @ beta
    return q, v
