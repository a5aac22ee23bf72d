"""Tabular Q-learning: its updates and bins by hand, what it refuses, and that it learns and goes on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trainings import trainings, whole_state

from recsys_cli.config.compose import compose
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.structured import load
from recsys_cli.policies.tabular_q import QTable, TabularQPolicy


def make_policy(problem: str = "interest_evolution", env: Any = None, **changes: Any) -> TabularQPolicy:
    env = env or ({"num_topics": 3} if problem == "interest_evolution" else {})
    policy: TabularQPolicy = load("algo", "tabular_q", **changes).make_policy(load("env", problem, **env).spec)
    return policy


@settings(deadline=None, max_examples=50)
@given(
    entries=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.floats(-5, 5)), max_size=30),
    averaging=st.booleans(),
)
def test_a_batch_is_its_updates_one_by_one(entries: list[tuple[int, int, float]], averaging: bool) -> None:
    user, slate, target = (np.array([row[i] for row in entries], dtype) for i, dtype in enumerate("iid"))
    table = QTable((3, 4), 0.3, averaging=averaging)
    for half in np.array_split(np.arange(len(entries)), 2):
        table.learn(user[half].astype(np.int64), slate[half].astype(np.int64), target[half])
    values, visits = np.zeros((3, 4)), Counter[tuple[int, int]]()
    for u, a, y in entries:
        visits[u, a] += 1
        values[u, a] += (max(0.3, 1 / visits[u, a]) if averaging else 0.3) * (y - values[u, a])
    np.testing.assert_allclose(table.values, values, atol=1e-12)
    assert {at: table.visits[at] for at in visits} == visits and table.visits.sum() == len(entries)


def test_a_target_is_the_reward_and_the_best_slate_of_what_follows() -> None:
    policy = make_policy(discount=0.5, lr=1.0)
    policy.table.values[:] = np.arange(policy.table.values.size).reshape(policy.table.values.shape)
    user, doc = np.zeros((2, 3), np.float32), np.array([[0, 1, 1, 2], [0, 0, 0, 1]], np.uint8)
    middle = 2 * 25 + 2 * 5 + 2  # of five bins from -1 to 1, 0 is in the middle one
    policy.learn(
        {
            "user": user,
            "slate_doc": np.array([[2, 0], [1, 0]], np.uint8),
            "reward": np.array([1.0, 2.0], np.float32),
            "terminated": np.array([False, True]),
            "next_user": user,
            "next_doc": doc,
        }
    )
    assert policy.table.values[middle, 3 * 0 + 1] == 2.0
    assert policy.table.values[middle, 3 * 0 + 2] == 1 + 0.5 * (middle * 9 + 3 * 1 + 2)


def test_documents_lie_in_bins_and_slates_are_the_same_in_any_order() -> None:
    bins = make_policy("interest_exploration").bins  # two topics, quality in ten bins from 0 to 10
    doc = np.array([[[1, 0, 0.5], [0, 1, 0.5], [0, 1, 3.2], [1, 0, 99.0]]], np.float32)
    np.testing.assert_array_equal(bins.kinds_of(doc), [[0, 10, 13, 9]])
    assert bins.slates(np.array([13, 9])) == bins.slates(np.array([9, 13])) == 9 * 20 + 13
    assert bins.shape == (1, 400)
    cascade = make_policy(env={"num_topics": 3, "choice_model": "exponential_cascade"}).bins
    assert cascade.slates(np.array([2, 1])) == 7 and cascade.slates(np.array([1, 2])) == 5


def test_what_was_visited_least_is_shown_to_find_out() -> None:
    policy = make_policy("long_term_satisfaction", exploration="min_count")
    policy.table.visits[:], policy.table.visits[0, 4] = 5, 2
    doc = np.array([[[0.9], [0.45], [0.1]]], np.float32)
    policy.table.values[0, 9] = 1.0
    observation = {"user": np.zeros((1, 0), np.float32), "doc": doc}
    assert policy.behaviour(observation).mode().tolist() == [[1, 0]]
    assert policy.distribution(observation).mode().tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], r"95,367,431,640,625 x 400 for env=interest_evolution.*limit algo.max_entries=1,000,000"),
        (
            ["env=long_term_satisfaction", "algo.max_slates=9"],
            "makes 10 slates, and algo=tabular_q .*algo.max_slates=9 allows",
        ),
        (["env=interest_exploration", "algo.discount=1"], "never terminate"),
        (["env=interest_exploration", "algo.bounds=[3,1]"], r"algo.bounds=\[3,1\]"),
        (["env=interest_exploration", "algo.lr=0"], "algo.lr=0"),
    ],
)
def test_what_does_not_fit_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compose("train", ["algo=tabular_q", *words])


@pytest.mark.usefixtures("no_ray")
def test_it_learns_and_a_restored_training_is_the_uninterrupted_one(tmp_path: Path, assert_same: Any) -> None:
    """Random 23.1, myopic 38.7."""
    words = ("algo=tabular_q", "env=interest_exploration", "steps=60000", "report_every=20000")
    with trainings(*words, "resources.users_per_runner=128") as make:
        one, two = make(), make(seed=1)
        one.step()
        one.save(tmp_path / "state")
        two.restore(tmp_path / "state")
        for _ in range(2):
            assert one.step() == two.step()
        assert_same(whole_state(one), whole_state(two))
        assert one.policy().tensors()["table.visits"].sum() == one.steps
        assert one.evaluate(300, seed=1)["return"] > 33
