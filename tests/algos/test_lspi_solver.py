"""LSPI's sums and iteration against problems solved exactly."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_cli.algos.lspi.iteration import Design, Iteration
from recsys_cli.algos.lspi.sums import Sums, best, penalty
from recsys_cli.config.structured import load
from recsys_cli.envs.features import Features
from recsys_cli.envs.spec import ChoiceSpec, Documents, ProblemSpec, ResponseField
from recsys_cli.policies.lspi import LSPIPolicy

T, K, DISCOUNT = 4, 2, 0.8
REWARD = np.array([1.0, 0.2, 0.0, 3.0])


def small_problem() -> ProblemSpec:
    """The user's state is the topic clicked last, or 0 after no click; all topics are always offered."""
    topics = Features.of(T, 0.0, 1.0)
    choice = ChoiceSpec("multinomial_logit", observable=True, no_click_mass=0.5)
    documents = Documents(topics, topics=T)
    return ProblemSpec("small", topics, documents, (ResponseField("click"),), K, T, choice=choice)


def exact_values() -> tuple[np.ndarray, np.ndarray]:
    """Item values `[T + 1]` (none last) and the best slates' item sets `[T, K]`, by value iteration."""
    slates = np.array(list(combinations(range(T), K)))
    q, best_slates = np.zeros(T + 1), slates[:T]
    for _ in range(500):
        weights = np.exp(np.eye(T))[:, slates]  # [state, slate, K]
        mass = weights.sum(-1) + np.exp(0.5)
        value = ((weights * q[:-1][slates]).sum(-1) + np.exp(0.5) * q[-1]) / mass
        best_slates, v = slates[value.argmax(1)], value.max(1)
        q = np.append(REWARD + DISCOUNT * v, DISCOUNT * v[0])
    return q, best_slates


def transitions(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Random slates on the small problem, as `Steps.transitions` gives them."""
    rng = np.random.default_rng(seed)
    state = rng.integers(0, T, n)
    slate, next_slate = (rng.permuted(np.tile(np.arange(T), (n, 1)), axis=1)[:, :K] for _ in range(2))
    weights = np.append(np.exp(slate == state[:, None]), np.full((n, 1), np.exp(0.5)), axis=1)
    clicked = (rng.random((n, 1)) > (weights / weights.sum(1, keepdims=True)).cumsum(1)).sum(1)
    topic = np.append(slate, np.full((n, 1), -1), axis=1)[np.arange(n), clicked]
    doc = np.tile(np.arange(T, dtype=np.uint8), (n, 1))
    return {
        "user": np.eye(T, dtype=np.float32)[state],
        "next_user": np.eye(T, dtype=np.float32)[np.maximum(topic, 0)],
        "doc": doc,
        "next_doc": doc,
        "slate_doc": slate.astype(np.uint8),
        "next_slate": next_slate,
        "clicked": clicked,
        "reward": np.where(topic < 0, 0.0, REWARD[topic]).astype(np.float32),
        "bootstrap": np.full(n, DISCOUNT, np.float32),
        "terminated": np.zeros(n, bool),
        "episode": np.arange(n) // 5,
        "step": np.arange(n) % 5,
    }


def iterated(columns: dict[str, np.ndarray], parts: int = 1, ridge: float = 1e-6) -> tuple[Iteration, dict[str, float]]:
    """Iterate to the end over transitions in so many parts."""
    policy = LSPIPolicy(small_problem(), "none", fourier=0, epsilon=0.1)
    cuts = np.array_split(np.arange(len(columns["reward"])), parts)
    split = [{name: values[rows] for name, values in columns.items()} for rows in cuts]
    iteration = Iteration(policy, Design("auto", (ridge,), 20, 0.0, DISCOUNT))
    iteration.evaluate(split)
    while not iteration.over:
        iteration.improve(split)
    return iteration, iteration.errors(split)


def test_it_solves_a_small_problem_exactly() -> None:
    columns = transitions(400)
    iteration, _ = iterated(columns)
    q, slates = exact_values()
    first = {name: np.asarray(values[:T]) for name, values in columns.items()} | {"user": np.eye(T, dtype=np.float32)}
    _, found, _, found_null = iteration.policy.valued(first, iteration.policy.values.weights)
    np.testing.assert_allclose(found, np.tile(q[:-1], (T, 1)), atol=1e-3)
    np.testing.assert_allclose(found_null, q[-1], atol=1e-3)
    np.testing.assert_array_equal(np.sort(iteration.policy.distribution(first).mode()), slates)
    assert iteration.changed == 0 and iteration.rounds >= 1


def test_parts_add_up() -> None:
    columns = transitions(300)
    # Moments are those of the first part: here both parts hold the same rows.
    doubled = {name: np.concatenate([values, values]) for name, values in columns.items()}
    (twice, _), (whole, _) = iterated(doubled, parts=2, ridge=1.0), iterated(doubled, ridge=1.0)
    np.testing.assert_allclose(twice.policy.values.weights, whole.policy.values.weights, rtol=1e-6, atol=1e-8)


def test_a_part_in_which_no_episode_begins_is_no_error() -> None:
    columns = {**transitions(400), "step": np.arange(400)}
    iteration, errors = iterated(columns, parts=4)
    whole = iteration.errors([columns])
    assert errors["learner/value"] == pytest.approx(whole["learner/value"])
    assert errors["learner/value_error"] == pytest.approx(whole["learner/value_error"])


def test_errors_without_a_future_are_those_of_a_regression_clustered_by_episode() -> None:
    columns = transitions(600) | {"bootstrap": np.zeros(600, np.float32)}
    rng = np.random.default_rng(1)
    columns["reward"] = (rng.normal(size=600) + rng.normal(size=120).repeat(5)).astype(np.float32)
    policy = LSPIPolicy(small_problem(), "none", fourier=0, epsilon=0.1)
    iteration = Iteration(policy, Design("auto", (1.0,), 5, 0.0, DISCOUNT))
    iteration.evaluate([columns])
    value = iteration.errors([columns])
    chosen = policy.features.columns(iteration.blocks)
    x = iteration._clicked(iteration.blocks, columns)
    inverse = np.linalg.inv(x.T @ x + np.diag(penalty(policy.features.free()[chosen], 1.0)))
    w = inverse @ x.T @ columns["reward"]
    np.testing.assert_allclose(policy.values.weights[chosen], w, atol=1e-6)
    scores = (x * (columns["reward"] - x @ w)[:, None]).reshape(120, 5, -1).sum(1)
    effective = np.trace(inverse @ x.T @ x)
    scores -= scores.mean(0)
    expected = inverse @ scores.T @ scores @ inverse.T * 120 / 119 * 600 / (600 - effective)
    np.testing.assert_allclose(policy.values.covariance[np.ix_(chosen, chosen)], expected, rtol=1e-3, atol=1e-6)
    # With the cluster effect the mean of 600 rewards has an error of about 1.1 / sqrt(120); without, half of that.
    assert 0.05 < value["learner/value_error"] < 0.3


def test_intervals_hold_the_true_values_in_95_of_100_logs() -> None:
    q, slates = exact_values()
    start = {name: np.asarray(values[:T]) for name, values in transitions(T).items()} | {"user": np.eye(T)}
    rng, z, of_value = np.random.default_rng(2), [], []
    truth = exact_slate_value(q, slates)
    for seed in range(40):
        columns = transitions(1_000, seed)
        # Half of the noise is the session's: steps of one session are not independent.
        columns["reward"] += rng.normal(size=200).repeat(5).astype(np.float32) + rng.normal(size=1_000)
        iteration, value = iterated(columns, ridge=1e-3)
        _, found, _, found_null = iteration.policy.valued(start, iteration.policy.values.weights)
        errors, null_errors = iteration.policy.standard_errors(start)
        z += [(found.numpy() - q[:-1]) / errors, (found_null.numpy() - q[-1])[:, None] / null_errors[:, None]]
        of_value.append((value["learner/value"] - truth) / value["learner/value_error"])
    items = np.concatenate([each.reshape(-1) for each in z])
    assert 0.92 < (np.abs(items) < 1.96).mean() < 0.98
    assert (np.abs(of_value) < 1.96).mean() >= 0.9  # of 40


def exact_slate_value(q: np.ndarray, slates: np.ndarray) -> float:
    """Return the mean value of the best slates over the states."""
    weights = np.exp(slates == np.arange(T)[:, None])
    mass = weights.sum(1) + np.exp(0.5)
    return float((((weights * q[slates]).sum(1) + np.exp(0.5) * q[-1]) / mass).mean())


@given(seed=st.integers(0, 10_000), folds=st.integers(2, 5), ridge=st.floats(1e-3, 10.0))
@settings(max_examples=25, deadline=None)
def test_the_held_out_error_is_that_of_rows_not_learned_from(seed: int, folds: int, ridge: float) -> None:
    rng = np.random.default_rng(seed)
    x, y, r = rng.normal(size=(60, 5)), 0.3 * rng.normal(size=(60, 5)), rng.normal(size=60)
    fold, columns = np.arange(60) % folds, np.array([0, 2, 3])
    sums = Sums(folds, 5)
    for rows in np.array_split(np.arange(60), 3):
        sums.add(x[rows], y[rows], r[rows], fold[rows])
    penalties, error = np.full(3, ridge), 0.0
    xs, ys = x[:, columns], y[:, columns]
    for each in range(folds):
        own, other = fold == each, fold != each
        a = xs[other].T @ (xs - ys)[other] + np.diag(penalties) * other.mean()
        w = np.linalg.solve(a, xs[other].T @ r[other])
        error += np.square(r[own] + ys[own] @ w - xs[own] @ w).sum()
    assert sums.held_out_errors(columns, penalties).sum() == pytest.approx(error)
    free = np.zeros(5, bool)
    which, chosen, least = best(sums, [columns, np.arange(5)], free, (0.1, 1.0, 10.0))
    own = (columns, np.arange(5))[which]
    assert least == pytest.approx(sums.held_out_errors(own, penalty(free[own], chosen)).sum() / 60)


def test_a_larger_set_is_taken_only_if_it_is_clearly_better() -> None:
    rng = np.random.default_rng(0)
    x, y, fold = rng.normal(size=(400, 3)), np.zeros((400, 3)), np.arange(400) % 5

    def chosen(effect: float) -> int:
        sums = Sums(5, 3)
        sums.add(x, y, x[:, 0] + effect * x[:, 2] + rng.normal(size=400), fold)
        return best(sums, [np.array([0, 1]), np.arange(3)], np.zeros(3, bool), (1.0,))[0]

    assert [chosen(0.0) for _ in range(10)].count(0) >= 9
    assert chosen(1.0) == 1


def test_the_limit_of_sessions_is_found_from_their_ends() -> None:
    env = load("env", "interest_evolution")
    policy = load("algo", "lspi").make_policy(env.spec)
    rng = np.random.default_rng(0)
    totals = rng.uniform(0.1, 1.0, (2_000, 4)).astype(np.float32)
    used = totals @ np.array([0.5, 0.0, -0.2, 1.0])
    totals[:30] /= used[:30, None]  # sessions end when 1 is used
    user = rng.uniform(-1, 1, (2_000, 20)).astype(np.float32)
    shown = rng.integers(0, 20, (2_000, 2)).astype(np.uint8)
    columns = {"user": user, "memory": totals, "slate_doc": shown, "terminated": np.arange(2_000) < 30}
    policy.features.fit(columns)
    assert policy.features.limited
    np.testing.assert_allclose(policy.features.statistics["limit"], [0.5, 0.0, -0.2, 1.0], atol=1e-3)
    policy.features.statistics["limit"][:] = 0
    policy.features.fit(columns | {"terminated": np.arange(2_000) < 3})
    assert not policy.features.limited  # too few ends
