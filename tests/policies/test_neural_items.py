"""NeuralLinear's values: what a line cannot say, exactness between renewals, and a continuation that is the same."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.structured import load
from recsys_cli.policies.item_index import Greedy
from recsys_cli.policies.item_values import BanditDesign
from recsys_cli.policies.neural_items import NeuralItems, Representation
from recsys_cli.policies.posterior import LinearRegressions

SPEC = load("env", "long_term_satisfaction").spec
DESIGN = BanditDesign("shown", "top_k", 1.0, 1.0, "none")
HOW = Representation([16, 8], lr=1e-2, batch_size=64, replay_ratio=4.0, replay_capacity=600, renew_every=500)


def batch(n, seed):
    """Rewards that are greatest in the middle of the only feature: no line fits that."""
    rng = np.random.default_rng(seed)
    doc = rng.random((n, 1, 1)).astype(np.float32)
    y = 100 * np.exp(-50 * (doc[:, 0, 0] - 0.5) ** 2) + rng.normal(size=n)
    return np.zeros((n, 0), np.float32), doc, y, n - 1 - np.arange(n), n


def test_it_learns_what_a_line_cannot_say():
    items = NeuralItems(SPEC, DESIGN, HOW, seed=0)
    for seed in range(40):
        items.learn(*batch(200, seed))
    doc = np.array([[[0.0], [0.5], [1.0]]], np.float32)
    low, middle, high = items.index(np.zeros((1, 0)), doc, Greedy(), items.rng)[0]
    assert middle > 80 and max(low, high) < 20


def test_between_renewals_the_regression_is_exact_and_stands_still():
    items = NeuralItems(SPEC, DESIGN, dataclasses.replace(HOW, renew_every=10**9), seed=0)
    start = {name: value.copy() for name, value in items.tensors().items() if name.startswith("network.")}
    expected = LinearRegressions(1, 9, 1.0)
    for seed in range(5):
        user, doc, y, age, n = batch(100, seed)
        expected.learn(items._represent(items.features(user, doc)[:, 0]), y, None, age, n)
        items.learn(user, doc, y, age, n)
    np.testing.assert_allclose(items.regression.weights, expected.weights, rtol=1e-9)
    for name, value in start.items():
        np.testing.assert_array_equal(items.tensors()[name], value)


def test_a_renewal_regresses_the_memory_on_the_network_as_it_is():
    items = NeuralItems(SPEC, DESIGN, HOW, seed=0)
    for seed in range(10):  # 1,000 observations, of which 600 are remembered; the last one renews
        items.learn(*batch(100, seed))
    recent = [batch(100, seed) for seed in range(4, 10)]
    x = np.concatenate([items.features(user, doc)[:, 0] for user, doc, *_ in recent])
    expected = LinearRegressions(1, 9, 1.0)
    expected.learn(items._represent(x), np.concatenate([y for _, _, y, *_ in recent]))
    np.testing.assert_allclose(items.regression.weights, expected.weights, rtol=1e-3)
    for name, value in items.network.state_dict().items():
        np.testing.assert_array_equal(items.stood_on.state_dict()[name], value)


def test_state_and_tensors_bring_everything_back(assert_same):
    one, other = NeuralItems(SPEC, DESIGN, HOW, seed=0), NeuralItems(SPEC, DESIGN, HOW, seed=1)
    for seed in range(7):
        one.learn(*batch(100, seed))
    other.load_tensors(one.tensors())
    other.set_state(one.get_state())
    for items in (one, other):
        for seed in range(7, 12):
            items.learn(*batch(100, seed))
    assert_same(one.tensors(), other.tensors())
    assert_same(one.get_state(), other.get_state())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hidden", []),
        ("lr", 0.0),
        ("batch_size", 0),
        ("replay_capacity", 0),
        ("renew_every", 0),
        ("replay_ratio", -1.0),
    ],
)
def test_refuses_in_one_line(key, value):
    with pytest.raises(ConfigError, match=rf"algo\.{key}="):
        load("algo", "neural_linear", **{key: value})
