"""Importance sampling over episodes: exact on all episodes of a small problem, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_cli.offline.estimators import session
from tests.offline.populations import sessions

SEEDS = st.integers(0, 2**32 - 1)


def test_numbers_by_hand() -> None:
    """Two episodes, of one and two steps; the first keeps its weight of 2 in the second step."""
    weight = session.cumulated(np.log([[2.0, 1.0], [0.5, 3.0]]))
    np.testing.assert_allclose(weight, [[2, 2], [0.5, 1.5]])
    reward = session.padded(np.array([4.0, 1.0, 2.0]), np.array([1, 2]))
    np.testing.assert_allclose(reward, [[4, 0], [1, 2]])
    assert session.importance_sampling(weight, reward)[0] == pytest.approx((2 * 4 + 1.5 * 3) / 2)
    assert session.weighted_is(weight, reward)[0] == pytest.approx((2 * 4 + 1.5 * 3) / 3.5)
    assert session.per_decision(weight, reward)[0] == pytest.approx((8 + 0.5 + 3) / 2)
    assert session.weighted_per_decision(weight, reward)[0] == pytest.approx(8.5 / 2.5 + 3 / 3.5)
    assert session.per_decision(weight, reward, 0.5)[0] == pytest.approx((8 + 0.5 + 1.5) / 2)
    q, v = np.array([[3.0, 0], [1, 1]]), np.array([[3.0, 0, 0], [2, 1.5, 0]])
    differences = [2 * (4 - 3), 0.5 * (1 + 1.5 - 1) + 1.5 * (2 - 1)]
    assert session.doubly_robust(weight, reward, q, v)[0] == pytest.approx((3 + 2 + sum(differences)) / 2)
    weighted = (2 * 1 + 0.5 * 1.5) / 2.5 + 1.5 * 1 / 3.5
    assert session.weighted_doubly_robust(weight, reward, q, v)[0] == pytest.approx(2.5 + weighted)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_exact_on_all_episodes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    log = sessions(rng)
    weight = session.cumulated(log.log_ratio)
    # Any q of (step, action before, action); v is its mean under the target, and 0 after the end.
    pi = np.exp(log.log_ratio[:, 0]) * np.where(log.path[:, 0] == 0, 0.25, 0.75)
    p = np.array([pi[log.path[:, 0] == a][0] for a in (0, 1)])
    model = rng.normal(size=(3, 2, 2))
    before = np.concatenate([np.zeros((len(log.path), 1), int), log.path[:, :-1]], axis=1)
    there = log.path >= 0
    t = np.arange(3)
    q = np.where(there, model[t, np.maximum(before, 0), np.maximum(log.path, 0)], 0.0)
    v = np.where(there, (model[t, np.maximum(before, 0)] * p).sum(-1), 0.0)
    v = np.concatenate([v, np.zeros((len(v), 1))], axis=1)
    for value, influence in (
        session.importance_sampling(weight, log.reward),
        session.weighted_is(weight, log.reward),
        session.per_decision(weight, log.reward),
        session.weighted_per_decision(weight, log.reward),
        session.doubly_robust(weight, log.reward, q, v),
        session.weighted_doubly_robust(weight, log.reward, q, v),
    ):
        assert value == pytest.approx(log.value)
        assert influence.mean() == pytest.approx(0, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_equal_policies_give_the_mean_return(seed: int) -> None:
    rng = np.random.default_rng(seed)
    log = sessions(rng)
    ones = np.ones_like(log.reward)
    for estimate in (
        session.importance_sampling,
        session.weighted_is,
        session.per_decision,
        session.weighted_per_decision,
    ):
        value, influence = estimate(ones, log.reward)
        assert value == pytest.approx(log.reward.sum(1).mean())
        np.testing.assert_allclose(influence, log.reward.sum(1) - value, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, discount=st.sampled_from([1.0, 0.9]))
def test_a_right_model_needs_no_weights(seed: int, discount: float) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 5, 20)
    there = np.arange(4) < lengths[:, None]
    reward, v = np.where(there, rng.normal(size=(20, 4)), 0), np.zeros((20, 5))
    v[:, :4] = np.where(there, rng.normal(size=(20, 4)), 0)
    q = reward + discount * v[:, 1:]  # deterministic: Bellman's equation holds on every sample
    weight = session.cumulated(rng.normal(size=(20, 4)))
    for estimate in (session.doubly_robust, session.weighted_doubly_robust):
        value, influence = estimate(weight, reward, q, v, discount)
        assert value == pytest.approx(v[:, 0].mean())
        np.testing.assert_allclose(influence, v[:, 0] - value, atol=1e-9)


def test_forgetting_ended_episodes_would_be_biased() -> None:
    """With weights of 0 behind the end, the short episodes' share of all later steps is lost."""
    log = sessions(np.random.default_rng(3))
    weight = session.cumulated(log.log_ratio)
    forgotten = np.where(log.path >= 0, weight, 0.0)
    assert session.weighted_per_decision(weight, log.reward)[0] == pytest.approx(log.value)
    assert abs(session.weighted_per_decision(forgotten, log.reward)[0] - log.value) > 0.01
