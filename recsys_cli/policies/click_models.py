"""What clicks on shown slates tell: a conditional logit of the choice, and the mean reward of a click.

Both are linear in the same features and learn batch by batch with a Gaussian belief over their weights (precision
matrix and mean), so that their memory does not grow and a continued training equals an uninterrupted one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]

# Products of user and document features are left out where they would be more than this.
MAX_FEATURES = 512
MAX_NEWTON_STEPS = 50


class ItemFeatures:
    """Features of (user, document): 1, the document's, and, where they are few, their products with the user's."""

    def __init__(self, user_features: int, doc_features: int, one_hot: bool) -> None:
        """Take the sizes U and F, and whether documents may come as topic numbers."""
        self.doc_features, self.one_hot = doc_features, one_hot
        products = (user_features + 1) * (doc_features + 1)
        self.with_user = user_features > 0 and products <= MAX_FEATURES
        self.size = products if self.with_user else doc_features + 1

    def __call__(self, user: NDArray[Any], doc: NDArray[Any]) -> Floats:
        """Return the features `[n, m, size]` of m documents a user.

        Args:
            user: `[n, U]`.
            doc: `[n, m, F]`, or topic numbers `[n, m]`.
        """
        dense = np.eye(self.doc_features)[doc] if doc.ndim == 2 else doc
        ones = np.ones((*dense.shape[:2], 1))
        item = np.concatenate([ones, dense], axis=-1)
        if not self.with_user:
            return item
        about = np.concatenate([ones[:, 0], user], axis=-1)
        return (about[:, None, :, None] * item[:, :, None, :]).reshape(*item.shape[:2], self.size)


class Linear:
    """Weights with a Gaussian belief: `precision` [P, P] and mean `weights` [P]; the prior is N(0, 1 / ridge)."""

    def __init__(self, size: int, ridge: float) -> None:
        """Begin at the prior."""
        self.weights: Floats = np.zeros(size)
        self.precision: Floats = ridge * np.eye(size)

    def predict(self, features: Floats) -> Floats:
        """Return `features . weights`."""
        return features @ self.weights


class RidgeRegression(Linear):
    """Least squares with a quadratic penalty, exact whatever the batches."""

    def learn(self, features: Floats, target: NDArray[Any]) -> None:
        """Add a batch: features `[n, P]`, target `[n]`."""
        moment = self.precision @ self.weights + features.T @ target
        self.precision = self.precision + features.T @ features
        self.weights = np.linalg.solve(self.precision, moment)


class ConditionalLogit(Linear):
    """P(item i is clicked) = exp(x_i . w) / (1 + sum of the slate's exp(x_j . w)); McFadden (1974).

    A batch's posterior mode is found by Newton's method and its curvature added to the precision (Laplace's
    approximation): one batch gives penalised maximum likelihood exactly, several give it up to terms that vanish as
    the batches grow.
    """

    def learn(self, features: Floats, clicked: NDArray[Any]) -> None:
        """Add a batch.

        Args:
            features: of the shown documents, `[n, k, P]`.
            clicked: position clicked, `[n]`; k for none.
        """
        prior, start = self.precision, self.weights
        shown = np.arange(features.shape[1])
        observed = features.reshape(-1, start.size).T @ (clicked[:, None] == shown).reshape(-1)
        weights = start.copy()
        loss, gradient, curvature = _logit_loss(weights, start, prior, features, observed)
        for _ in range(MAX_NEWTON_STEPS):
            step = np.linalg.solve(curvature, gradient)
            size, decrease = 1.0, float(gradient @ step)
            if decrease < 1e-9 * max(abs(loss), 1.0):
                break
            while True:  # the loss is convex: a step of half the length is enough in the end
                trial = _logit_loss(weights - size * step, start, prior, features, observed)
                if trial[0] <= loss - 0.1 * size * decrease or size < 1e-6:
                    break
                size /= 2
            weights = weights - size * step
            loss, gradient, curvature = trial
        self.weights, self.precision = weights, curvature

    def choice_scores(self, features: Floats) -> tuple[Tensor, Tensor]:
        """Return `v` [n, C] and `v_null` [n] as `recsys_cli.networks.choice` does, the largest of a row 1."""
        score = self.predict(features)
        top = np.maximum(score.max(-1), 0.0)
        return torch.from_numpy(np.exp(score - top[:, None])), torch.from_numpy(np.exp(-top))


def _logit_loss(
    weights: Floats, prior_mean: Floats, prior: Floats, features: Floats, observed: Floats
) -> tuple[float, Floats, Floats]:
    """Return the negative log-posterior at `weights`, its gradient and its Hessian."""
    n, k, size = features.shape
    score = features @ weights
    top = np.maximum(score.max(-1), 0.0)
    mass = np.exp(score - top[:, None])
    total = mass.sum(-1) + np.exp(-top)
    p = mass / total[:, None]
    away = weights - prior_mean
    loss = float((np.log(total) + top).sum() - observed @ weights + 0.5 * away @ prior @ away)
    flat, p_flat = features.reshape(n * k, size), p.reshape(-1)
    mean = np.einsum("nk,nkp->np", p, features)
    gradient = flat.T @ p_flat - observed + prior @ away
    return loss, gradient, (flat * p_flat[:, None]).T @ flat - mean.T @ mean + prior
