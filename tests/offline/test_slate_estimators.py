"""Slate estimators: exact under what each assumes, on all slates of a small problem."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_cli.offline.estimators import bandit, slate
from recsys_cli.offline.estimators.marginals import pair_probs
from recsys_cli.slates.distributions import PlackettLuceSlates, Uniform
from tests.offline.populations import CANDIDATES, SIZE, SLATES, USERS, Slates, slates

SEEDS = st.integers(0, 2**32 - 1)


def of_shown(by_place: np.ndarray) -> np.ndarray:
    """Return rewards of each position, `[USERS, M, k]`, that depend on its own document, from `[USERS, k, C]`."""
    return np.stack([by_place[:, place, SLATES[:, place]] for place in range(SIZE)], axis=-1)


def gamma(log: Slates) -> np.ndarray:
    shown = (SLATES[:, :, None] == np.arange(CANDIDATES)).reshape(len(SLATES), -1).astype(float)
    return np.einsum("um,ma,mb->uab", log.behaviour, shown, shown)[log.user]


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_independent_positions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    log = slates(rng)
    reward = of_shown(rng.normal(size=(USERS, SIZE, CANDIDATES)))
    at = log.slate[:, :, None]
    target, behaviour = (np.take_along_axis(log.places(p), at, 2)[..., 0] for p in (log.target, log.behaviour))
    for estimate in (slate.independent_ips, slate.normalised_independent_ips):
        assert estimate(target / behaviour, log.of_rows(reward))[0] == pytest.approx(log.value(reward.sum(-1)))


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_cascade(seed: int) -> None:
    """Rewards of the first position depend on its document, those of the second on both."""
    rng = np.random.default_rng(seed)
    log = slates(rng)
    first, both = rng.normal(size=(2, USERS, CANDIDATES, CANDIDATES))
    reward = np.stack([first[:, SLATES[:, 0], 0], both[:, SLATES[:, 0], SLATES[:, 1]]], axis=-1)
    truth, log_ratio = log.value(reward.sum(-1)), log.prefix(log.target) - log.prefix(log.behaviour)
    rows = log.of_rows(reward)
    assert slate.rips(log_ratio, rows)[0] == pytest.approx(truth)
    assert slate.normalised_rips(log_ratio, rows)[0] == pytest.approx(truth)

    # The true values of prefixes: what is still to come, given the documents so far.
    same = SLATES[:, None, 0] == SLATES[None, :, 0]
    chance = log.target / (log.target @ same)  # of the second document, given the first
    second = np.einsum("um,um,mn->un", chance, reward[:, :, 1], same.astype(float))
    q = np.stack([reward[:, :, 0] + second, reward[:, :, 1]], axis=-1)
    v = np.stack([np.broadcast_to((log.target * reward.sum(-1)).sum(1, keepdims=True), second.shape), second], axis=-1)
    value, influence = slate.cascade_dr(log_ratio, rows, log.of_rows(q), log.of_rows(v))
    assert value == pytest.approx(truth)
    np.testing.assert_allclose(influence, log.of_rows(v)[:, 0] - truth, atol=1e-9)

    # Any other model, with its own means, is as unbiased.
    q = rng.normal(size=(USERS, CANDIDATES, CANDIDATES, SIZE))
    of_first, of_second = q[:, SLATES[:, 0], 0, 0], q[:, SLATES[:, 0], SLATES[:, 1], 1]
    v = np.stack(
        [
            np.broadcast_to((log.target * of_first).sum(1, keepdims=True), of_first.shape),
            np.einsum("um,um,mn->un", chance, of_second, same.astype(float)),
        ],
        axis=-1,
    )
    model = (log.of_rows(np.stack([of_first, of_second], axis=-1)), log.of_rows(v))
    assert slate.cascade_dr(log_ratio, rows, *model)[0] == pytest.approx(truth)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_pseudo_inverse_is_exact_for_additive_rewards(seed: int) -> None:
    rng = np.random.default_rng(seed)
    log = slates(rng)
    reward = of_shown(rng.normal(size=(USERS, SIZE, CANDIDATES))).sum(-1)
    weight = slate.pseudo_inverse_weights(log.places(log.target), gamma(log), log.slate)
    assert weight.mean() == pytest.approx(1)
    for estimate in (bandit.ips, bandit.snips):
        assert estimate(weight, log.of_rows(reward))[0] == pytest.approx(log.value(reward))


def test_pseudo_inverse_is_biased_if_pairs_matter() -> None:
    log = slates(np.random.default_rng(0))
    pair = (SLATES[:, 0] + 1 == SLATES[:, 1]) * np.ones((USERS, 1))
    weight = slate.pseudo_inverse_weights(log.places(log.target), gamma(log), log.slate)
    assert abs(bandit.ips(weight, log.of_rows(pair))[0] - log.value(pair)) > 0.01


@pytest.mark.parametrize(("candidates", "size"), [(4, 2), (5, 1), (3, 3), (10, 3)])
def test_pseudo_inverse_of_uniform_slates_has_a_closed_form(candidates: int, size: int) -> None:
    rng = np.random.default_rng(0)
    law, behaviour = PlackettLuceSlates(rng.normal(size=(20, candidates)), size), Uniform(20, candidates, size)
    target, shown = law.position_probs(), behaviour.sample(rng)
    general = slate.pseudo_inverse_weights(target, pair_probs(behaviour), shown)
    np.testing.assert_allclose(slate.pseudo_inverse_weights_uniform(target, shown), general, atol=1e-8)


def test_a_slate_of_one_has_ordinary_weights() -> None:
    rng = np.random.default_rng(1)
    law, behaviour = PlackettLuceSlates(rng.normal(size=(20, 5)), 1), Uniform(20, 5, 1)
    target, shown = law.position_probs(), behaviour.sample(rng)
    ordinary = np.exp(law.log_prob(shown) - behaviour.log_prob(shown))
    np.testing.assert_allclose(slate.pseudo_inverse_weights_uniform(target, shown), ordinary)


def test_pairs_agree_with_the_marginals() -> None:
    law = PlackettLuceSlates(2 * np.random.default_rng(0).normal(size=(6, 5)), 3)
    pairs = pair_probs(law)
    np.testing.assert_allclose(np.diagonal(pairs, axis1=1, axis2=2), law.position_probs().reshape(6, -1))
    np.testing.assert_allclose(pairs.sum((1, 2)), 9)
