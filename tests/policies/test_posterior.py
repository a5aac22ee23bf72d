"""Linear regressions in closed form: against one-by-one updates, scikit-learn, the truth, and ten million updates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import BayesianRidge, Ridge

from recsys_cli.policies.posterior import LinearRegressions

TRUTH = np.array([1.0, -2.0, 0.5])


def data(n, seed=0, noise=1.0, models=1):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    return x, x @ TRUTH + noise * rng.normal(size=n), rng.integers(0, models, n)


def one_by_one(x, y, ridge, forgetting):
    """Sherman and Morrison's update of the inverse, an observation at a time; with forgetting, an inverse each time."""
    size = x.shape[1]
    inverse, moment = np.eye(size) / ridge, np.zeros(size)
    for row, target in zip(x, y, strict=True):
        if forgetting < 1:
            precision = forgetting * np.linalg.inv(inverse) + (1 - forgetting) * ridge * np.eye(size)
            inverse, moment = np.linalg.inv(precision), forgetting * moment
        along = inverse @ row
        inverse = inverse - np.outer(along, along) / (1 + row @ along)
        moment = moment + target * row
    return inverse @ moment, inverse


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    cuts=st.lists(st.integers(0, 60), max_size=6),
    ridge=st.sampled_from([0.1, 1.0, 30.0]),
    forgetting=st.sampled_from([1.0, 0.99, 0.8]),
    models=st.integers(1, 3),
)
def test_batches_give_the_one_by_one_posterior(seed, cuts, ridge, forgetting, models):
    x, y, model = data(60, seed, models=models)
    belief = LinearRegressions(models, 3, ridge, forgetting)
    for rows in np.split(np.arange(60), sorted(cuts)):
        belief.learn(x[rows], y[rows], model[rows], len(rows) - 1 - np.arange(len(rows)), len(rows))
    for m in range(models):
        # Every model forgets at every env step, also while others learn.
        own = model == m
        mean, inverse = one_by_one(x * own[:, None], y * own, ridge, forgetting)
        np.testing.assert_allclose(belief.weights[m], mean, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(belief.factor[m] @ belief.factor[m].T, inverse, rtol=1e-7, atol=1e-10)


def test_the_mean_is_scikit_learns_ridge():
    x, y, _ = data(500)
    belief = LinearRegressions(1, 3, ridge=4.0)
    belief.learn(x, y)
    theirs = Ridge(alpha=4.0, fit_intercept=False).fit(x, y)
    np.testing.assert_allclose(belief.predict(x), theirs.predict(x), rtol=1e-8)


def test_the_posterior_is_scikit_learns_bayesian_ridge():
    x, y, _ = data(400, noise=2.0)
    theirs = BayesianRidge(fit_intercept=False).fit(x, y)  # it finds the precisions of noise and prior itself
    belief = LinearRegressions(1, 3, ridge=theirs.lambda_ / theirs.alpha_)
    belief.learn(x, y)
    np.testing.assert_allclose(belief.weights[0], theirs.coef_, rtol=1e-8)
    np.testing.assert_allclose(belief.factor[0] @ belief.factor[0].T / theirs.alpha_, theirs.sigma_, rtol=1e-8)
    assert belief.noise == pytest.approx(theirs.alpha_**-0.5, rel=0.01)
    points = np.random.default_rng(1).normal(size=(7, 3))
    noise_free = np.sqrt(theirs.predict(points, return_std=True)[1] ** 2 - 1 / theirs.alpha_)
    scale = belief.noise * theirs.alpha_**0.5
    np.testing.assert_allclose(belief.deviations(points)[:, 0], scale * noise_free, rtol=1e-7)


def test_before_the_first_observation_it_is_the_prior():
    belief = LinearRegressions(2, 3, ridge=4.0)
    assert not belief.weights.any() and belief.noise == 1.0
    np.testing.assert_allclose(belief.deviations(np.eye(3)), 0.5)


def test_the_scale_of_rewards_does_not_matter():
    x, y, _ = data(2000)
    one, other = LinearRegressions(1, 3, 1.0), LinearRegressions(1, 3, 1.0)
    one.learn(x, y)
    other.learn(x, 1000 * y)
    np.testing.assert_allclose(other.deviations(x), 1000 * one.deviations(x), rtol=1e-3)


@pytest.mark.parametrize("forgetting", [1.0, 1 - 1e-6])
def test_ten_million_updates_leave_it_sound(forgetting):
    """Two features are nearly the same, the rewards large: where a running inverse would drift."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(10_000, 4))
    x[:, 3] = x[:, 0] + 1e-3 * rng.normal(size=10_000)
    weights = np.array([1000.0, -2000.0, 500.0, 300.0])
    y = x @ weights + 100 * rng.normal(size=10_000)
    age = 9_999 - np.arange(10_000)
    belief = LinearRegressions(1, 4, 1.0, forgetting)
    for _ in range(1000):
        belief.learn(x, y, None, age, 10_000)
    effective = 1e7 if forgetting == 1 else (1 - forgetting**1e7) / (1 - forgetting)
    assert belief.totals[0] == pytest.approx(effective, rel=1e-6)
    weight = forgetting**age * (1000 if forgetting == 1 else (1 - forgetting**1e7) / (1 - forgetting**1e4))
    expected = np.linalg.solve((x * weight[:, None]).T @ x + np.eye(4), (x * weight[:, None]).T @ y)
    np.testing.assert_allclose(belief.weights[0], expected, rtol=1e-6)
    assert belief.noise == pytest.approx(100, rel=0.03)
    assert np.linalg.eigvalsh(belief.gram[0] + np.eye(4)).min() >= 1


def test_forgetting_follows_a_change():
    x, y, _ = data(4000)
    steady, changing = LinearRegressions(1, 3, 1.0), LinearRegressions(1, 3, 1.0, forgetting=0.99)
    for belief in (steady, changing):
        for sign in (1, -1):
            belief.learn(x, sign * y, None, 3999 - np.arange(4000), 4000)
    np.testing.assert_allclose(changing.weights[0], -TRUTH, atol=0.4)
    assert np.abs(steady.weights[0]).max() < 0.3


def test_tensors_bring_everything_back():
    x, y, model = data(50, models=2)
    one, other = LinearRegressions(2, 3, 1.0), LinearRegressions(2, 3, 1.0)
    one.learn(x, y, model)
    other.learn(-x, y, model)
    other.load_tensors(one.tensors())
    np.testing.assert_array_equal(other.weights, one.weights)
    assert other.noise == one.noise
    other.learn(x, y, model)
    assert one.totals[0] == 50 and other.totals[0] == 100
