"""Features of (user, document), and a conditional logit learned from clicks on shown slates.

It learns in batches with a Gaussian posterior over its weights, so that its memory does not grow and a resumed training
equals an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys_cli.envs.spec import Documents
from recsys_cli.policies.posterior import Floats, inverse_factor

# Products of user and document features are left out if there were more than this.
MAX_FEATURES = 512
MAX_NEWTON_STEPS = 50


FeatureKind = Literal["doc", "user_doc", "interactions"]


def feature_kind(kind: FeatureKind | Literal["auto"], user_features: int, doc_features: int) -> FeatureKind:
    """Return what `auto` stands for: products of user and document if few, else the document alone."""
    if kind != "auto":
        return kind
    few = (user_features + 1) * (doc_features + 1) <= MAX_FEATURES
    return "interactions" if user_features and few else "doc"


class ItemFeatures:
    """Features of (user, document).

    `doc`: 1 and the document's. `user_doc`: also the user's. `interactions`: all products of (1, user) with
    (1, document).
    """

    def __init__(self, user_features: int, documents: Documents, kind: FeatureKind | Literal["auto"] = "auto") -> None:
        """Take the number U of the user's features, what documents look like, and which features to make."""
        self.documents, doc_features = documents, len(documents)
        self.kind = feature_kind(kind, user_features, doc_features)
        products = (user_features + 1) * (doc_features + 1)
        sizes = {"doc": doc_features + 1, "user_doc": user_features + doc_features + 1, "interactions": products}
        self.size = sizes[self.kind]

    def __call__(self, user: NDArray[Any], doc: NDArray[Any]) -> Floats:
        """Return the features `[n, m, size]` of m documents a user.

        Args:
            user: `[n, U]`.
            doc: `[n, m, F]`, or numbers `[n, m]`.
        """
        dense = self.documents.dense(doc)
        ones = np.ones((*dense.shape[:2], 1))
        item = np.concatenate([ones, dense], axis=-1)
        if self.kind == "doc":
            return item
        if self.kind == "user_doc":
            return np.concatenate([item, np.broadcast_to(user[:, None], (*dense.shape[:2], user.shape[-1]))], axis=-1)
        about = np.concatenate([ones[:, 0], user], axis=-1)
        return (about[:, None, :, None] * item[:, :, None, :]).reshape(*item.shape[:2], self.size)


class ConditionalLogit:
    """P(item i is clicked) = exp(x_i . w) / (1 + sum of the slate's exp(x_j . w)); McFadden (1974).

    The posterior of w is Gaussian: `precision` [P, P] and mean `weights` [P]; the prior is N(0, 1 / ridge). A batch's
    posterior mode is found by Newton's method and its curvature added to the precision (Laplace's approximation): one
    batch gives penalised maximum likelihood exactly, several up to terms that vanish as the batches grow.
    """

    def __init__(self, size: int, ridge: float) -> None:
        """Begin at the prior."""
        self.ridge = ridge
        self.weights: Floats = np.zeros(size)
        self.precision = ridge * np.eye(size)

    @property
    def precision(self) -> Floats:
        """Inverse covariance of the belief, `[P, P]`."""
        return self._precision

    @precision.setter
    def precision(self, precision: Floats) -> None:
        self._precision = precision
        self.__dict__.pop("factor", None)

    @cached_property
    def factor(self) -> Floats:
        """F with `F F' = precision^-1`, `[P, P]`."""
        return inverse_factor(self.precision)

    def forget(self, kept: float) -> None:
        """Multiply the weight of everything learned so far by `kept`; the prior is not forgotten."""
        prior = self.ridge * np.eye(self.weights.size)
        self.precision = prior + kept * (self.precision - prior)

    def learn(
        self,
        features: Floats,
        clicked: NDArray[Any],
        there: NDArray[np.bool_] | None = None,
        weight: Floats | None = None,
        most: int = MAX_NEWTON_STEPS,
    ) -> None:
        """Add a batch.

        Args:
            features: of the shown documents, `[n, k, P]`.
            clicked: position clicked, `[n]`; k for none.
            there: positions that hold a document, `[n, k]`; None: all do.
            weight: how often each row counts, `[n]`; None: once.
            most: steps of Newton's method; fewer than it takes are enough if weights change before they converge.
        """
        prior, start = self.precision, self.weights
        shown = np.arange(features.shape[1])
        often = np.ones(len(features)) if weight is None else weight
        observed = features.reshape(-1, start.size).T @ (often[:, None] * (clicked[:, None] == shown)).reshape(-1)
        weights = start.copy()
        loss, gradient, curvature = _logit_loss(weights, start, prior, features, observed, often, there)
        for _ in range(most):
            step = np.linalg.solve(curvature, gradient)
            size, decrease = 1.0, float(gradient @ step)
            if decrease < 1e-9 * max(abs(loss), 1.0):
                break
            while True:  # the loss is convex: a step of half the length is enough in the end
                trial = _logit_loss(weights - size * step, start, prior, features, observed, often, there)
                if trial[0] <= loss - 0.1 * size * decrease or size < 1e-6:
                    break
                size /= 2
            weights = weights - size * step
            loss, gradient, curvature = trial
        self.weights, self.precision = weights, curvature

    def choice_scores(self, features: Floats) -> tuple[Tensor, Tensor]:
        """Return `v` [n, C] and `v_null` [n] as `recsys_cli.networks.choice` does, the largest of a row 1."""
        return masses(features @ self.weights)

    def tensors(self) -> dict[str, np.ndarray]:
        """Return copies of the mean and the precision."""
        return {"weights": self.weights.copy(), "precision": self.precision.copy()}

    def load_tensors(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Restore what `tensors` returned; shapes are the caller's business."""
        for name, value in tensors.items():
            setattr(self, name, np.array(value, np.float64))


def masses(score: Floats) -> tuple[Tensor, Tensor]:
    """Turn logits `[n, C]`, against 0 for not clicking, into `v` [n, C] and `v_null` [n], the largest of a row 1."""
    top = np.maximum(score.max(-1), 0.0)
    return torch.from_numpy(np.exp(score - top[:, None])), torch.from_numpy(np.exp(-top))


def _logit_loss(
    weights: Floats,
    prior_mean: Floats,
    prior: Floats,
    features: Floats,
    observed: Floats,
    often: Floats,
    there: NDArray[np.bool_] | None,
) -> tuple[float, Floats, Floats]:
    """Return the negative log-posterior at `weights`, its gradient and its Hessian."""
    n, k, size = features.shape
    score = features @ weights
    if there is not None:
        score = np.where(there, score, -np.inf)
    top = np.maximum(score.max(-1), 0.0)
    mass = np.exp(score - top[:, None])
    total = mass.sum(-1) + np.exp(-top)
    p = mass / total[:, None]
    away = weights - prior_mean
    loss = float(often @ (np.log(total) + top) - observed @ weights + 0.5 * away @ prior @ away)
    flat, p_flat = features.reshape(n * k, size), (often[:, None] * p).reshape(-1)
    mean = np.einsum("nk,nkp->np", p, features)
    gradient = flat.T @ p_flat - observed + prior @ away
    return loss, gradient, (flat * p_flat[:, None]).T @ flat - (mean * often[:, None]).T @ mean + prior
