"""Indices by definition."""

from __future__ import annotations

import numpy as np
import pytest

from recsys_cli.policies.item_index import Greedy, PosteriorSample, UpperBound

N = 40_000
WEIGHTS, FACTOR = np.array([1.0, -1.0]), np.array([[0.5, 0.0], [0.2, 0.1]])
X = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0]])
MEAN, COVARIANCE = X @ WEIGHTS, X @ FACTOR @ FACTOR.T @ X.T


def joint(index, n=1):
    rng = np.random.default_rng(0)
    return index.joint(np.broadcast_to(X, (n, *X.shape)), WEIGHTS, lambda: FACTOR, rng)


def test_greedy_asks_for_no_deviation():
    rng = np.random.default_rng(0)
    np.testing.assert_allclose(Greedy().joint(X[None], WEIGHTS, pytest.fail, rng)[0], MEAN)
    np.testing.assert_allclose(Greedy().separate(MEAN, pytest.fail, rng), MEAN)


def test_upper_bound():
    bound = MEAN + 1.5 * np.sqrt(np.diag(COVARIANCE))
    np.testing.assert_allclose(joint(UpperBound(1.5))[0], bound)
    separate = UpperBound(1.5).separate(MEAN, lambda: np.sqrt(np.diag(COVARIANCE)), np.random.default_rng(0))
    np.testing.assert_allclose(separate, bound)


def test_draws_have_the_posteriors_moments():
    drawn = joint(PosteriorSample(2.0), N)
    np.testing.assert_allclose(drawn.mean(0), MEAN, atol=0.05)
    np.testing.assert_allclose(np.cov(drawn.T), 4 * COVARIANCE, atol=0.1)
    deviation = np.full((N, 2), 0.5)
    separate = PosteriorSample(2.0).separate(np.zeros((N, 2)), lambda: deviation, np.random.default_rng(1))
    np.testing.assert_allclose(np.cov(separate.T), np.eye(2), atol=0.05)
