"""Linear models of one step's reward, for DM and the doubly robust estimators.

A model is `q(x, a) = features(x, a)' beta`. What an action is, its features say: one-hot items, or, for slates under a
known choice model, the features of the documents weighted by their probabilities of being clicked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.offline.estimators.influence import Estimated, Floats, mean

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


def most_robust(weight: Floats, logged: Floats, target: Floats, reward: Floats, ridge: float, start: Floats) -> Floats:
    """Return the coefficients that minimise the variance of DR (MRDR: Farajtabar et al. 2018, section 4.1).

    DR is the mean of `w r - (w phi - phi_pi)' beta`, in which the second term has mean 0 whatever beta is. So its
    variance is least where beta is the regression of the first on the second.

    Args:
        weight: of the logged actions, `[n]`.
        logged: features phi of the logged actions, `[n, d]`.
        target: their means phi_pi under the target policy, `[n, d]`.
        reward: `[n]`.
        ridge: added to the diagonal of the normal equations.
        start: coefficients that the ridge shrinks to, `[d]`.
    """
    control = weight[:, None] * logged - target
    left = weight * reward - control @ start
    return start + least_squares(control - control.mean(0), left - left.mean(), ridge)


def direct(clicked: Floats, target: Floats, reward: Floats, ridge: float | Floats) -> Estimated:
    """Return DM, the mean of the model's rewards under the target, with the influence of what the model is fitted on.

    Args:
        clicked: features that the model is fitted on, `[n, d]`.
        target: their means under the target policy, `[n, d]`.
        reward: `[n]`.
        ridge: as for `least_squares`.
    """
    gram = clicked.T @ clicked
    gram[np.diag_indices_from(gram)] += ridge
    beta = np.linalg.solve(gram, clicked.T @ reward)
    value, centred = mean(target @ beta)
    fitted = clicked @ np.linalg.solve(gram, target.sum(0)) * (reward - clicked @ beta)
    return value, centred + fitted - fitted.mean()


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
