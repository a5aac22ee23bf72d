"""The oracles' plans, on cases that can be worked out otherwise."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.structured import load
from recsys_cli.envs.choice_models import choice_probabilities
from recsys_cli.policies import UniformPolicy
from recsys_cli.policies.oracle import make_oracle, problems_with_oracle
from recsys_cli.policies.oracle._session_value import COEFFICIENTS, SessionValue
from recsys_cli.policies.oracle.interest_evolution import InterestEvolutionOracle, Price, simulate
from recsys_cli.policies.oracle.long_term_satisfaction import (
    expected_engagement,
    exposure_grid,
    future_values,
)
from recsys_cli.policies.oracle.long_term_satisfaction import satisfaction_of as sat


def test_every_problem_of_recsim_has_one():
    assert problems_with_oracle() == ["interest_evolution", "interest_exploration", "long_term_satisfaction"]


def test_a_problem_without_one_is_refused():
    env = load("env", "interest_exploration", name="mine")
    with pytest.raises(ConfigError, match="algo=oracle is not available for env=mine; it is for interest_evolution"):
        make_oracle(env.spec, 0)


def test_an_oracle_must_watch_the_env_it_acts_on():
    env = load("env", "interest_exploration")
    policy, vec = make_oracle(env.spec, 0), env.make_vec(3)
    observation, _ = vec.reset(seed=0)
    with pytest.raises(RuntimeError, match="watch"):
        policy.distribution(observation)
    policy.watch(env.make_vec(4))
    with pytest.raises(RuntimeError, match="watch"):
        policy.distribution(observation)


@pytest.mark.parametrize("kind", ["multinomial_logit", "multinomial_proportional", "exponential_cascade"])
def test_exploration_shows_the_likeliest_slate(kind):
    env = load("env", "interest_exploration", num_candidates=5, choice_model=kind)
    policy, vec = make_oracle(env.spec, 0), env.make_vec(30)
    policy.watch(vec)
    observation, _ = vec.reset(seed=1)
    slates = policy.distribution(observation).mode()
    topic, quality = observation["doc"][..., :2].argmax(-1), observation["doc"][..., 2]
    score = np.take_along_axis(vec.hidden_state()["affinity"], topic, 1) + quality

    def click_probability(slate):
        shown = np.take_along_axis(score, slate, 1).astype(np.float64)
        return 1 - choice_probabilities(env.spec.choice, shown)[:, -1]

    best = np.max([click_probability(np.tile(s, (30, 1))) for s in permutations(range(5), 2)], axis=0)
    np.testing.assert_allclose(click_probability(slates), best, rtol=1e-6)


def test_satisfaction_values_are_those_of_a_simulated_greedy_walk():
    """The programme's value at the start is what its own policy earns."""
    env = load("env", "long_term_satisfaction", sensitivity=0.2, num_candidates=3, time_budget=6)
    policy, vec = make_oracle(env.spec, 0), env.make_vec(20_000)
    policy.watch(vec)
    observation, _ = vec.reset(seed=2)
    start = vec.hidden_state()["net_positive_exposure"]
    earned = np.zeros(20_000)
    for _ in range(6):
        hidden, slates = vec.hidden_state(), policy.distribution(observation).mode()
        clickbait = np.take_along_axis(observation["doc"][..., 0], slates[:, :1], 1)[:, 0].astype(np.float64)
        earned += expected_engagement(clickbait, hidden["satisfaction"], env)
        observation = vec.step(slates)[0]
    longer = load("env", "long_term_satisfaction", sensitivity=0.2, num_candidates=3, time_budget=7)
    grid = exposure_grid(env)
    # Future values average over the exposure's noise, which is too small to matter here.
    value = np.interp(start, grid, future_values(longer, grid)[6])
    error = (earned - value).std() / 20_000**0.5
    assert earned.mean() == pytest.approx(value.mean(), abs=5 * error + 0.002 * value.mean())


def test_the_last_step_of_satisfaction_is_greedy():
    env = load("env", "long_term_satisfaction", sensitivity=0.2, time_budget=1)
    policy, vec = make_oracle(env.spec, 0), env.make_vec(50)
    policy.watch(vec)
    observation, _ = vec.reset(seed=0)
    slates = policy.distribution(observation).mode()
    engagement = expected_engagement(
        observation["doc"][..., 0].astype(np.float64), vec.hidden_state()["satisfaction"][:, None], env
    )
    np.testing.assert_array_equal(slates[:, 0], engagement.argmax(1))
    assert all(len(set(row)) == env.slate_size for row in slates.tolist())


def test_satisfaction_outside_the_grid_is_rare():
    env = load("env", "long_term_satisfaction", num_candidates=1, slate_size=1)
    vec, rng = env.make_vec(500), np.random.default_rng(0)
    observation, _ = vec.reset(seed=0)
    reach = exposure_grid(env)[-1]
    for _ in range(50):
        observation = vec.step(UniformPolicy(1).distribution(observation).sample(rng))[0]
        assert np.abs(vec.hidden_state()["net_positive_exposure"]).max() < reach
    assert sat(np.array(0.0), 0.2) == 0.5


def test_evolution_shows_the_worthiest_slate():
    """Against enumeration of the slates, each outcome's budget worked out by hand."""
    env = load("env", "interest_evolution", num_candidates=5)
    vec, price = env.make_vec(25, doc_format="index"), 1.4
    policy = InterestEvolutionOracle(value=Price(price))
    policy.watch(vec)
    observation, _ = vec.reset(seed=3)
    hidden, topic = vec.hidden_state(), observation["doc"].astype(int)
    slates = policy.distribution(observation).mode()
    affinity = np.take_along_axis(observation["user"], topic, 1).astype(np.float64)
    worth = 4.0 + price * (200.0 - 4.0 + 0.9 / 3.4 * 4.0 * hidden["quality"])
    nothing = price * 199.5

    def value(slate):
        weight = np.take_along_axis(affinity, slate, 1) + 1
        return (2 * nothing + (weight * np.take_along_axis(worth, slate, 1)).sum(1)) / (2 + weight.sum(1))

    best = np.max([value(np.tile(s, (25, 1))) for s in permutations(range(5), 2)], axis=0)
    np.testing.assert_allclose(value(slates), best, rtol=1e-7)
    dense = env.make_vec(25)
    again = InterestEvolutionOracle(value=Price(price))
    again.watch(vec)
    rows = {**observation, "doc": np.eye(20, dtype=np.float32)[topic]}
    np.testing.assert_array_equal(again.distribution(rows).mode(), slates)
    dense.close()


def test_the_value_after_a_click_is_the_mean_over_where_the_interest_goes():
    env, rng = load("env", "interest_evolution", num_topics=10, num_candidates=4), np.random.default_rng(0)
    coefficients = rng.uniform(0, 1, COEFFICIENTS)
    coefficients[[0, COEFFICIENTS // 2]] = 20.0  # nothing is cut off at zero
    value = SessionValue(env, coefficients)
    interests, topic = rng.uniform(-1, 1, (30, 10)), rng.integers(0, 10, (30, 4))
    left = rng.uniform(1, 200, (30, 4))
    computed = value.after_clicks(interests, topic, left)
    for j in range(4):
        at, expected = (np.arange(30), topic[:, j]), np.zeros(30)
        before = interests[at]
        step = 0.3 * (1 - np.abs(before)) * (1 - before)
        for sign, probability in ((1, (before + 1) / 2), (-1, (1 - before) / 2)):
            after = interests.copy()
            after[at] = np.clip(before + sign * step, -1, 1)
            expected += probability * value.after_no_click(after, left[:, j])
        np.testing.assert_allclose(computed[:, j], expected, rtol=1e-9)
    assert not value.after_no_click(interests, np.full(30, -3.0)).any()


def test_a_fitted_value_is_what_its_policy_earns():
    env = load("env", "interest_evolution", time_budget=40.0)
    sessions = simulate(env, Price(1.4), 1500, seed=0)
    value = sessions.fit(env)
    fresh = simulate(env, Price(1.4), 1500, seed=5)
    begin = fresh.level[0].astype(np.float64) @ value.weights.T
    computed = begin.sum(1)  # at the whole budget both powers of it are 1
    error = fresh.returns.std() / np.sqrt(1500)
    assert computed.mean() == pytest.approx(fresh.returns.mean(), abs=6 * error)
    assert np.corrcoef(computed, fresh.returns)[0, 1] > 0.2
