"""FQE and click weights: exact where the truth can be enumerated, honest where the log says nothing."""

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
from recsys_cli.offline.choice import ChoiceScores, known_choice
from recsys_cli.offline.estimators.clicks import StepClicks
from recsys_cli.offline.estimators.fqe import LinearFQE, Solution, ValueModel, fqe
from recsys_cli.offline.judging import Logged, judge
from recsys_cli.offline.steps import Steps
from recsys_cli.policies import UniformPolicy
from recsys_cli.policies.base import SlatePolicy
from recsys_cli.policies.exploration import ExploringPolicy
from recsys_cli.policies.myopic import MyopicPolicy
from recsys_cli.policies.value_features import ValueFeatures
from recsys_cli.slates.distributions import PlackettLuceSlates


class Table:
    """One feature for each state and candidate."""

    def __init__(self, states: int, candidates: int) -> None:
        self.states, self.candidates, self.free = states, candidates, 0

    def expected(self, observation, p):
        return (observation["user"][:, :, None] * p[:, None]).reshape(len(p), -1)

    def of(self, observation, candidate):
        return self.expected(observation, np.eye(self.candidates + 1)[candidate])


class Preferring(SlatePolicy):
    """Draws slates by scores that depend on the state."""

    served_by_draws = True

    def __init__(self, scores: np.ndarray, slate_size: int) -> None:
        self.table, self.slate_size = scores, slate_size

    def distribution(self, observation):
        return PlackettLuceSlates(observation["user"] @ self.table, self.slate_size)


def steps_of(state, slate, clicked, reward, terminated, episode, step, states: int, candidates: int) -> Steps:
    n = len(state)
    return Steps(
        episode=episode,
        step=step,
        user=np.eye(states, dtype=np.float32)[state],
        doc=np.tile(np.arange(candidates, dtype=np.uint8), (n, 1)),
        slate=slate,
        clicked=clicked,
        reward=reward.astype(np.float32),
        response={},
        terminated=terminated,
        truncated=np.zeros(n, bool),
        valid=np.ones(n, bool),
        log_propensity=np.tile(-np.log(candidates - np.arange(slate.shape[1])).astype(np.float32), (n, 1)),
    )


def tabular_log(rng, v, states: int, episodes: int) -> Steps:
    """Random slates of 2 of 3; a click on c leads to state c or ends the session, no click to another state."""
    columns: list = []
    for episode in range(episodes):
        state = int(rng.integers(states))
        for step in range(50):
            slate = rng.permutation(3)[:2]
            mass = np.append(v[state, slate], 1.0)
            clicked = int(rng.choice(3, p=mass / mass.sum()))
            item = int(slate[clicked]) if clicked < 2 else 3
            ends = bool(rng.random() < 0.2 + 0.1 * item / 3) or step == 49
            columns.append((state, slate, clicked, item + state, ends, episode, step))
            state = (item + int(rng.integers(2))) % states
            if ends:
                break
    state, slate, clicked, reward, ends, episode, step = (np.array(each) for each in zip(*columns, strict=True))
    return steps_of(state, slate, clicked, reward, ends, episode, step, states, 3)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_fqe_is_dynamic_programming_on_the_empirical_transitions(seed: int) -> None:
    rng, states = np.random.default_rng(seed), 3
    v = rng.random((states, 3)) + 0.2
    log = tabular_log(rng, v, states, 60)
    policy = Preferring(rng.normal(size=(states, 3)), 2)

    def choice(steps: Steps) -> ChoiceScores:
        return ChoiceScores(steps.user.astype(float) @ v, np.ones(len(steps)), 2)

    estimator = LinearFQE(ValueModel(None, "none", Table(states, 3)), 1.0)
    estimator.ended = lambda steps: steps.terminated
    judged = judge(policy, log, choice, UniformPolicy(2))
    estimator.add(judged)
    found = Solution.at(1e-9, 0, *estimator.groups.used())

    state, after = log.user.argmax(1), log.following()
    p = np.zeros((states, 4))
    p[state] = judged.target_clicks
    q = np.zeros((states, 4))
    for _ in range(2000):
        target = log.reward + np.where(after >= 0, (p * q).sum(1)[state[after]], 0.0)
        sums, counts = np.zeros((states, 4)), np.zeros((states, 4))
        np.add.at(sums, (state, judged.consumed), target)
        np.add.at(counts, (state, judged.consumed), 1)
        q = sums / np.maximum(counts, 1)
    expected = (p * q).sum(1)[state[log.starts]].mean()
    assert found.value == pytest.approx(expected, rel=1e-4)
    weights = Table(states, 3).of(log.observation(), judged.consumed) @ found.beta
    assert weights @ log.reward == pytest.approx(expected, rel=1e-4)  # marginal weights say the same
    assert abs(found.influence.mean()) < 1e-9


def test_click_weights_are_unbiased_whatever_the_slates() -> None:
    """Every slate and click of a step, as often as it happens, is the whole population."""
    v, rewards = np.array([1.0, 2.0, 1.0]), np.array([3.0, -1.0, 5.0, 0.5])
    rows = []
    for slate in permutations(range(3), 2):
        mass = v[list(slate)].sum() + 1
        for position in range(3):
            times = round(12 * (v[slate[position]] if position < 2 else 1.0) / mass)
            rows += [(slate, position, rewards[slate[position]] if position < 2 else rewards[3])] * times
    slate, clicked, reward = (np.array(each) for each in zip(*rows, strict=True))
    n = len(rows)
    log = steps_of(np.zeros(n, int), slate, clicked, reward, np.ones(n, bool), np.arange(n), np.zeros(n, int), 1, 3)
    scores = np.array([[0.3, 2.0, -1.0]])

    def choice(steps: Steps) -> ChoiceScores:
        return ChoiceScores(np.tile(v, (len(steps), 1)), np.ones(len(steps)), 2)

    judged = judge(Preferring(scores, 2), log, choice, UniformPolicy(2))
    estimator = StepClicks(Table(1, 3))
    estimator.add(judged)
    truth = float(judged.target_clicks[0] @ rewards)
    ips, snips, dr = estimator.estimates()
    assert ips.value == pytest.approx(truth) and snips.value == pytest.approx(truth)
    assert dr.value == pytest.approx(truth, rel=1e-3)  # cross-fitted
    assert dr.low <= truth <= dr.high


@pytest.fixture(scope="module")
def env():
    return dataclasses.replace(load("env", "interest_evolution"), slate_size=3, time_budget=60.0)


@pytest.fixture(scope="module")
def log(env) -> Steps:
    return played(env, 300)


def test_a_policy_on_its_own_log_is_worth_what_the_log_earned(env, log) -> None:
    policy, choice = UniformPolicy(3), known_choice(env.spec)
    estimate = fqe(policy, [log], choice, ValueModel.of(env.spec, log))
    assert estimate.refusal is None
    assert estimate.value == pytest.approx(log.returns().mean(), rel=0.01)
    assert estimate.low < log.returns().mean() < estimate.high
    estimator = StepClicks(ValueFeatures(env.spec, 0))
    estimator.add(judge(policy, log, choice, policy))
    ips, snips, dr = estimator.estimates()
    for each in (ips, snips):
        assert each.refusal is None and each.value == pytest.approx(log.reward.mean(), rel=1e-5)
    assert dr.low < log.reward.mean() < dr.high + 2 * dr.error  # knows the clicks' probabilities, not only their count


def test_batches_give_what_the_whole_log_gives(env, log) -> None:
    policy = ExploringPolicy(MyopicPolicy(env.spec, 1.0), Explore("plackett_luce", 0.5))
    choice, model = known_choice(env.spec), ValueModel.of(env.spec, log)
    whole = fqe(policy, [log], choice, model)
    parts = fqe(policy, [log.episodes(slice(at, at + 37)) for at in range(0, 300, 37)], choice, model)
    assert parts.value == pytest.approx(whole.value)
    np.testing.assert_allclose(parts.influence, whole.influence, atol=1e-6)


def test_a_policy_that_a_deterministic_log_never_follows_is_refused(env) -> None:
    myopic = MyopicPolicy(env.spec, 1.0)
    log, choice = played(env, 60, policy=myopic), known_choice(env.spec)
    model = ValueModel.of(env.spec, log)
    for behaviour in (myopic, None):  # the log's policy may be unknown: propensities of 1 tell
        estimator, clicks = LinearFQE(model), StepClicks(ValueFeatures(env.spec, 0))
        judged = Logged.of(model.remembering(log), choice, behaviour).judge(UniformPolicy(3))
        for each in (estimator, clicks):
            each.add(judged)
        estimates = [estimator.estimate(), *clicks.estimates()]
        assert all(each.refusal and np.isnan(each.low) for each in estimates)
        assert "no support" in estimates[0].refusal
    same = LinearFQE(model)
    same.add(Logged.of(model.remembering(log), choice, myopic).judge(myopic))
    assert same.estimate().refusal is None
