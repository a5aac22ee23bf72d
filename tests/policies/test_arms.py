"""N-armed bandits: indices by definition, arms and counts by recounting."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.optimize import brentq

from recsys_cli.config.structured import load
from recsys_cli.policies.arm_index import KLUCB, UCB1, Mean, Thompson, bernoulli_divergence
from recsys_cli.policies.arms import ArmCounts, SlateArms, TopicArms
from recsys_cli.rollouts.collector import Collector

RNG = np.random.default_rng(0)
PULLS = np.array([[1.0, 10.0, 100.0, 400.0, 0.0]])
SUMS = np.array([[1.0, 2.0, 30.0, 0.0, 0.0]])
T = PULLS.sum()


def index_of(index, pulls=PULLS, sums=SUMS, noise=0.5, seed=0):
    return index(pulls, sums, noise, np.random.default_rng(seed))


def test_mean():
    assert index_of(Mean())[0].tolist() == [1.0, 0.2, 0.3, 0.0, np.inf]
    assert index_of(Mean(unknown=-np.inf))[0, 4] == -np.inf


def test_ucb1_is_auer_s_formula():
    expected = [s / n + np.sqrt(2 * np.log(T) / n) for n, s in zip(PULLS[0, :4], SUMS[0, :4], strict=True)]
    np.testing.assert_allclose(index_of(UCB1(2.0))[0], [*expected, np.inf])


@pytest.mark.parametrize("c", [0.0, 3.0])
def test_kl_ucb_solves_its_equation(c):
    limit = np.log(T) + c * np.log(np.log(T))
    bounds = index_of(KLUCB(c))[0]
    assert bounds[4] == np.inf and bounds[0] == pytest.approx(1.0)
    for n, s, bound in zip(PULLS[0, 1:4], SUMS[0, 1:4], bounds[1:4], strict=True):
        root = brentq(lambda q, n=n, s=s: n * bernoulli_divergence(s / n, q) - limit, s / n, 1 - 1e-12)
        assert bound == pytest.approx(root, abs=1e-6)


def test_kl_ucb_is_within_ucb1():
    """Pinsker's inequality: the bound that fits Bernoulli outcomes is never wider than `sqrt(ln t / 2 n)`."""
    pulls = RNG.integers(1, 200, (50, 6)).astype(float)
    sums = RNG.binomial(pulls.astype(int), RNG.random((50, 6))).astype(float)
    assert (index_of(KLUCB(0.0), pulls, sums) <= index_of(UCB1(0.5), pulls, sums) + 1e-7).all()


def test_thompson_draws_have_the_posteriors_moments():
    many = np.repeat(PULLS, 20_000, axis=0), np.repeat(SUMS, 20_000, axis=0)
    drawn = index_of(Thompson("beta"), *many)
    a, b = 1 + SUMS[0], 1 + PULLS[0] - SUMS[0]
    np.testing.assert_allclose(drawn.mean(0), a / (a + b), atol=0.01)
    np.testing.assert_allclose(drawn.var(0), a * b / ((a + b) ** 2 * (a + b + 1)), atol=0.005)
    drawn = index_of(Thompson("gaussian"), *many)
    np.testing.assert_allclose(drawn.mean(0), SUMS[0] / (1 + PULLS[0]), atol=0.02)
    np.testing.assert_allclose(drawn.std(0), 0.5 / np.sqrt(1 + PULLS[0]), rtol=0.03)


def test_topics_fill_the_slate_by_index_then_quality():
    arms = TopicArms(load("env", "interest_exploration", num_candidates=4, slate_size=3).spec)
    doc = np.array([[[1, 0, 5.0], [0, 1, 1.0], [0, 1, 2.0], [1, 0, 7.0]]], np.float32)
    assert arms.slates(np.array([[0.1, 0.9]]), doc).tolist() == [[2, 1, 3]]
    assert arms.slates(np.array([[np.inf, np.inf]]), doc).tolist() == [[3, 0, 2]]
    assert arms.pulled(np.array([[2, 1, 3]]), doc[:, [2, 1, 3]]).tolist() == [[1, 1, 0]]


def test_a_slate_is_its_arm_whatever_the_order():
    arms = SlateArms(load("env", "interest_evolution", num_candidates=6, slate_size=3, resample_documents=False).spec)
    assert arms.number == 20
    for number, slate in enumerate(combinations(range(6), 3)):
        shown = RNG.permutation(slate)[None]
        assert arms.pulled(shown, shown).tolist() == [[number]]
        np.testing.assert_array_equal(arms.slates(np.eye(20)[[number]], shown), [slate])
    assert arms.outcomes(np.array([[0, 1, 0], [0, 0, 0]])).tolist() == [[1], [0]]


def test_positions_that_nobody_looks_at_are_no_part_of_an_arm():
    arms = SlateArms(
        load("env", "long_term_satisfaction", num_candidates=5, slate_size=2, resample_documents=False).spec
    )
    assert arms.number == 5
    assert arms.pulled(np.array([[3, 1]]), np.zeros((1, 2, 1))).tolist() == [[3]]
    assert arms.slates(np.eye(5)[[3]], np.zeros((1, 5, 1))).tolist() == [[3, 0]]


def test_noise_is_what_arms_do_not_explain():
    counts = ArmCounts(2)
    arm = RNG.integers(0, 2, 20_000)
    counts.learn(arm, 3.0 * arm + 0.5 * RNG.normal(size=20_000), np.zeros(20_000, bool))
    assert counts.noise == pytest.approx(0.5, rel=0.03)
    assert counts.total[2] == pytest.approx(4.9, abs=0.5)


@pytest.mark.parametrize("arms", ["topics", "slates"])
@pytest.mark.parametrize("problem", ["interest_evolution", "interest_exploration"])
def test_what_is_remembered_is_what_was_shown_and_clicked(problem, arms):
    """Counts of two users in a session, by recounting the chunk; a session's first observation knows nothing."""
    short = {"horizon": 7} if problem == "interest_exploration" else {"time_budget": 12.0}
    env = load("env", problem, resample_documents=arms == "topics", num_candidates=5, **short)
    policy = load("algo", "thompson", arms=arms, statistics="per_user").make_policy(env.spec, seed=1)
    collector, rng = Collector(env, 8, seed=0), np.random.default_rng(0)
    collector.remember(policy.new_memory(8))
    chunk = collector.collect(40, policy.behaviour, rng)
    number = policy.arms.number
    own = np.zeros((8, 2, number))
    for t in range(40):
        np.testing.assert_array_equal(chunk.memory[t], own.reshape(8, -1))
        for user in range(8):
            if not chunk.valid[t, user]:
                own[user] = 0
                continue
            slate = chunk.slate[t, user]
            pulled = policy.arms.pulled(slate[None], chunk.doc[t, user, slate][None])[0]
            clicked = np.arange(env.slate_size) == chunk.clicked[t, user]
            for arm, click in zip(pulled, clicked if arms == "topics" else [clicked.any()], strict=True):
                own[user, 0, arm] += 1
                own[user, 1, arm] += click
    assert own.any() and not chunk.valid.all()
