"""What the myopic baseline learns, against the truth that made the clicks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize

from recsys_cli.envs.spec import Documents, Features
from recsys_cli.policies.click_models import MAX_FEATURES, ConditionalLogit, ItemFeatures


def clicks(n, k, weights, seed):
    rng = np.random.default_rng(seed)
    features = np.concatenate([np.ones((n, k, 1)), rng.normal(size=(n, k, len(weights) - 1))], axis=-1)
    scores = np.concatenate([features @ weights, np.zeros((n, 1))], axis=-1)
    return features, (scores + rng.gumbel(size=scores.shape)).argmax(-1)


TRUTH = np.array([-1.0, 2.0, -0.5, 0.0])


def test_logit_recovers_weights_and_ranking():
    features, clicked = clicks(20_000, 3, TRUTH, 0)
    model = ConditionalLogit(4, ridge=1.0)
    model.learn(features, clicked)
    np.testing.assert_allclose(model.weights, TRUTH, atol=0.1)
    stderr = np.sqrt(np.diag(np.linalg.inv(model.precision)))
    assert (np.abs(model.weights - TRUTH) < 4 * stderr).all() and stderr.max() < 0.05


def test_one_batch_is_penalised_maximum_likelihood():
    features, clicked = clicks(300, 2, TRUTH, 1)

    def loss(weights):
        scores = np.concatenate([features @ weights, np.zeros((300, 1))], axis=-1)
        return (np.log(np.exp(scores).sum(-1)) - scores[np.arange(300), clicked]).sum() + weights @ weights  # ridge 2

    model = ConditionalLogit(4, ridge=2.0)
    model.learn(features, clicked)
    best = optimize.minimize(loss, np.zeros(4), tol=1e-12)
    np.testing.assert_allclose(model.weights, best.x, atol=1e-4)
    # The loss's second differences; BFGS's own estimate of them depends on the machine.
    step = 1e-3 * np.eye(4)
    curvature = [
        [sum(s * t * loss(model.weights + s * a + t * b) for s in (1, -1) for t in (1, -1)) / 4e-6 for b in step]
        for a in step
    ]
    np.testing.assert_allclose(model.precision, curvature, atol=0.01)


def test_logit_in_batches_is_near_one_batch():
    features, clicked = clicks(20_000, 3, TRUTH, 2)
    whole, parts = ConditionalLogit(4, 1.0), ConditionalLogit(4, 1.0)
    whole.learn(features, clicked)
    for i in range(0, 20_000, 2000):
        parts.learn(features[i : i + 2000], clicked[i : i + 2000])
    np.testing.assert_allclose(parts.weights, whole.weights, atol=0.02)


@pytest.mark.parametrize("clicked", [0, 2])
def test_logit_where_the_outcome_is_always_the_same(clicked):
    model = ConditionalLogit(2, ridge=1.0)
    model.learn(np.ones((500, 2, 2)) * [1.0, 1000.0], np.full(500, clicked))
    assert np.isfinite(model.weights).all()
    v, v_null = model.choice_scores(np.ones((1, 2, 2)) * [1.0, 1000.0])
    assert bool(v[0, 0] > v_null[0]) == (clicked == 0)


def test_forgetting_keeps_the_prior():
    features, clicked = clicks(2000, 3, TRUTH, 4)
    model = ConditionalLogit(4, ridge=3.0)
    model.learn(features, clicked)
    learned = model.precision - 3 * np.eye(4)
    model.forget(0.25)
    np.testing.assert_allclose(model.precision, 3 * np.eye(4) + 0.25 * learned)
    np.testing.assert_allclose(model.factor @ model.factor.T, np.linalg.inv(model.precision))


def documents(size, topics=0):
    return Documents(Features.of(size), topics=topics)


def test_features_of_numbers_and_of_one_hot_documents():
    features = ItemFeatures(2, documents(5, topics=5))
    user, topic = np.array([[0.5, -1.0], [2.0, 3.0]]), np.array([[0, 4, 2], [1, 1, 3]], np.uint8)
    by_number = features(user, topic)
    assert by_number.shape == (2, 3, features.size) == (2, 3, 18)
    np.testing.assert_array_equal(by_number, features(user, np.eye(5, dtype=np.float32)[topic]))
    assert by_number[0, 1].reshape(3, 6).tolist() == np.outer([1, 0.5, -1], [1, 0, 0, 0, 0, 1]).tolist()


def test_products_are_left_out_where_they_are_many():
    assert ItemFeatures(0, documents(3)).size == 4
    assert ItemFeatures(MAX_FEATURES, documents(3))(np.ones((2, MAX_FEATURES)), np.ones((2, 6, 3))).shape == (2, 6, 4)


def test_features_of_each_kind():
    user, doc = np.array([[2.0, 3.0]]), np.array([[[5.0], [7.0]]])
    of = {kind: ItemFeatures(2, documents(1), kind) for kind in ("doc", "user_doc", "interactions", "auto")}
    assert of["doc"](user, doc)[0].tolist() == [[1, 5], [1, 7]]
    assert of["user_doc"](user, doc)[0].tolist() == [[1, 5, 2, 3], [1, 7, 2, 3]]
    assert of["interactions"](user, doc)[0].tolist() == [[1, 5, 2, 10, 3, 15], [1, 7, 2, 14, 3, 21]]
    assert of["auto"].kind == "interactions" and ItemFeatures(0, documents(1)).kind == "doc"
    assert all(make.size == make(user, doc).shape[-1] for make in of.values())
