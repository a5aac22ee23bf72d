"""What users click under a policy, and logged steps as a policy sees them."""

from __future__ import annotations

import dataclasses
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import played

from recsys_cli.config.explore import Explore
from recsys_cli.config.structured import load
from recsys_cli.offline.choice import ChoiceScores, fit_choice, known_choice
from recsys_cli.offline.click_probabilities import click_probabilities
from recsys_cli.offline.judging import judge
from recsys_cli.policies import UniformPolicy
from recsys_cli.policies.exploration import ExploringPolicy
from recsys_cli.policies.myopic import MyopicPolicy
from recsys_cli.slates.distributions import Certain, DrawnOnly, Mixture, PlackettLuceSlates, Uniform


def by_enumeration(law, choice: ChoiceScores) -> np.ndarray:
    """Sum over slates one by one, by the distribution's own probabilities."""
    users, candidates = choice.v.shape
    clicks = np.zeros((users, candidates + 1))
    for slate in permutations(range(candidates), law.slate_size):
        slates = np.tile(slate, (users, 1))
        p, each = np.exp(law.log_prob(slates)), choice.clicks(slates)
        clicks[:, list(slate)] += p[:, None] * each[:, :-1]
        clicks[:, -1] += p * each[:, -1]
    return clicks


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    sharpness=st.sampled_from([0.0, 1.0, 30.0, 3000.0]),
    size=st.integers(1, 3),
    attended=st.integers(1, 3),
    cascade=st.booleans(),
    kind=st.sampled_from(["uniform", "plackett_luce", "certain", "mixture"]),
)
def test_click_probabilities_are_sums_over_slates(seed, sharpness, size, attended, cascade, kind) -> None:
    rng, users, candidates = np.random.default_rng(seed), 4, 5
    choice = ChoiceScores(rng.random((users, candidates)), rng.random(users), attended, cascade)
    drawn = PlackettLuceSlates(sharpness * rng.normal(size=(users, candidates)), size)
    certain = Certain(drawn.sample(rng), candidates)
    laws = {
        "uniform": Uniform(users, candidates, size),
        "plackett_luce": drawn,
        "certain": certain,
        "mixture": Mixture([0.25, 0.75], [Uniform(users, candidates, size), certain]),
    }
    clicks, exact = click_probabilities(laws[kind], choice)
    assert exact
    np.testing.assert_allclose(clicks.sum(1), 1)
    np.testing.assert_allclose(clicks, by_enumeration(laws[kind], choice), atol=1e-9)


def test_absent_candidates_are_never_clicked_and_short_slates_hold_all() -> None:
    rng = np.random.default_rng(0)
    mask = np.arange(6) < np.array([[1], [2], [3], [6]])
    choice = ChoiceScores(np.where(mask, rng.random((4, 6)), 0.0), rng.random(4), 3)
    law = PlackettLuceSlates(rng.normal(size=(4, 6)), 3, mask=mask)
    clicks, exact = click_probabilities(law, choice)
    drawn, _ = click_probabilities(
        DrawnOnly(lambda rows, stream: law.sample(stream), 4, 6, 3, mask), choice, draws=4000
    )
    assert exact and not clicks[:, :-1][~mask].any()
    np.testing.assert_allclose(clicks, drawn, atol=0.03)
    everything = choice.v[:3] / (choice.v_null[:3] + choice.v[:3].sum(1))[:, None]
    np.testing.assert_allclose(clicks[:3, :-1], everything)


def test_unknown_laws_are_sampled_and_reported_so() -> None:
    rng = np.random.default_rng(0)
    choice = ChoiceScores(rng.random((50, 6)), rng.random(50), 2)
    law = PlackettLuceSlates(rng.normal(size=(50, 6)), 2)
    clicks, exact = click_probabilities(DrawnOnly(lambda rows, stream: law.sample(stream), 50, 6, 2), choice)
    assert not exact
    np.testing.assert_allclose(clicks, click_probabilities(law, choice)[0], atol=0.06)


@pytest.fixture(scope="module")
def env():
    return dataclasses.replace(load("env", "interest_evolution"), slate_size=3, time_budget=40.0)


def test_a_policy_judged_on_its_own_log_has_weights_of_one(env) -> None:
    policy = ExploringPolicy(MyopicPolicy(env.spec, 1.0), Explore("plackett_luce", 0.5))
    log = played(env, 20, policy=policy)
    judged = judge(policy, log, known_choice(env.spec), policy)
    np.testing.assert_allclose(judged.slate_weights, 1, rtol=1e-5)
    np.testing.assert_allclose(judged.click_weights, 1)
    other = judge(UniformPolicy(3), log, known_choice(env.spec))
    assert other.click_weights is None and not np.allclose(other.slate_weights, 1, rtol=0.1)


def test_a_learned_choice_beats_constant_rates_and_comes_near_the_known_one(env) -> None:
    log = played(env, 300)
    known, learned = known_choice(env.spec), fit_choice(env.spec, log)
    assert learned.held_out > learned.constant
    fresh = played(env, 300, seed=5)
    truth = known.log_likelihood(fresh)
    gained = learned.log_likelihood(fresh) - learned.constant
    assert gained > 0.5 * (truth - learned.constant) > 0
    again = fit_choice(env.spec, log)
    assert again.held_out == learned.held_out
