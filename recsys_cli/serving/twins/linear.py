"""Scores linear in features of user and document (`policies.click_models.ItemFeatures`), without those features.

A product of all user and document features times weights is the document times a vector of the user's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from recsys_cli.policies.click_models import ItemFeatures
from recsys_cli.policies.item_values import LinearItems
from recsys_cli.policies.neural_items import NeuralItems
from recsys_cli.serving.twins.forward import Perceptron, dot, linear_layers
from recsys_cli.serving.twins.optimisers import Floats

Score = Callable[[Any, Any], Floats]
"""`(state [B, S], doc [B, C, F])` -> scores `[B, C]`."""


def linear_score(features: ItemFeatures, weights: Floats) -> Score:
    """Return the score `x . weights` of features x."""
    size = len(features.documents)
    if features.kind == "interactions":
        products = weights.reshape(-1, size + 1)
        constant, by_document = products[:, :1].copy(), products[:, 1:].copy()

        def score(state: Any, doc: Any) -> Floats:
            about = _with_one(state)
            return _of_each(about, constant) + dot(doc.astype(np.float64), _of_each(about, by_document))

        return score
    document, user = weights[1 : size + 1], weights[size + 1 :, None].copy()

    def without_products(state: Any, doc: Any) -> Floats:
        scores = weights[0] + np.einsum("bcf,f->bc", doc.astype(np.float64), document)
        return scores + _of_each(state.astype(np.float64), user) if user.size else scores

    return without_products


def topic_score(items: LinearItems) -> Score:
    """Return the score of a model for each topic."""
    weights = items.regressions.weights.T.copy()

    def score(state: Any, doc: Any) -> Floats:
        about = _with_one(state) if items.with_user else np.ones((len(state), 1))
        every = _of_each(about, weights)
        return np.take_along_axis(every, items.documents.topics_of(doc), axis=1)

    return score


def neural_score(items: NeuralItems) -> Score:
    """Return the regression's mean on a network's representation."""
    body = Perceptron(linear_layers(items.stood_on.body), last_relu=True)
    weights = items.regression.weights[0]

    def score(state: Any, doc: Any) -> Floats:
        hidden = body(items.features(state, doc).astype(np.float32)).astype(np.float64)
        return np.asarray(weights[0] + np.einsum("bch,h->bc", hidden, weights[1:]))

    return score


def _with_one(state: Any) -> Floats:
    return np.concatenate([np.ones((len(state), 1)), state], axis=1)


def _of_each(about: Floats, weights: Floats) -> Any:
    """Return `about @ weights` `[B, O]`, each row alone."""
    if weights.shape[1] == 1:
        return np.einsum("bp,po->bo", about, weights)
    return (about[:, None] @ weights)[:, 0]
