"""The collector: where every episode has one length, users do not end together."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from recsys_cli.config.structured import load
from recsys_cli.policies import UniformPolicy
from recsys_cli.rollouts.collector import Collector, first_cuts

FIXED = {"long_term_satisfaction": {"time_budget": 12}, "interest_exploration": {"horizon": 12}}
USERS = 24


def collector(problem, **changes):
    return Collector(load("env", problem, **{**FIXED.get(problem, {}), **changes}), USERS, seed=3)


def play(own, length):
    rng, env = np.random.default_rng(0), own.problem
    return own.collect(length, UniformPolicy(env.slate_size).distribution, rng)


@pytest.mark.parametrize("backend", ["native", "recsim"])
@pytest.mark.parametrize("problem", FIXED)
def test_episodes_of_one_length_end_at_different_times(problem, backend):
    own = collector(problem, backend=backend)
    chunk = play(own, 60)
    begins = [np.flatnonzero(~chunk.valid[:, user]) for user in range(USERS)]
    for user, rows in enumerate(begins):
        cut = user * 12 // USERS
        assert rows[0] == (cut or 12), "the row after the first episode's last step begins the next one"
        assert (np.diff(rows) == 13).all(), "later episodes have their whole length"
    assert len(Counter(rows[1] % 13 for rows in begins)) == 12
    finished = own.take_finished()
    assert finished is not None and (finished.lengths == 12).all()
    cuts = np.count_nonzero(first_cuts(USERS, 12))
    assert len(finished) == sum(map(len, begins)) + own.starting.sum() - cuts, "every other end is one of an episode"
    terminates = problem == "long_term_satisfaction"
    last = [chunk.terminated[rows[0] - 1, user] for user, rows in enumerate(begins)]
    assert last == [terminates and user * 12 // USERS == 0 for user in range(USERS)], "a cut is no end of a session"


def test_sessions_that_end_by_themselves_are_not_cut():
    own = collector("interest_evolution", time_budget=8.0)
    chunk = play(own, 40)
    begins, finished = (~chunk.valid).sum(), own.take_finished()
    assert finished is not None and len(finished) == begins + own.starting.sum() > 0


@pytest.mark.parametrize("problem", FIXED)
def test_a_restored_collector_cuts_as_if_uninterrupted(problem):
    one, two = collector(problem), collector(problem)
    play(one, 5)
    two.set_state(one.get_state())
    for a, b in zip(play(one, 20).arrays(), play(two, 20).arrays(), strict=True):
        np.testing.assert_array_equal(a[1], b[1])


@pytest.mark.parametrize("problem", ["interest_evolution", *FIXED])
def test_a_logged_chunk_holds_the_whole_response_and_every_end(problem):
    own = collector(problem, **({} if problem in FIXED else {"time_budget": 8.0}))
    rule, env = UniformPolicy(own.problem.slate_size).distribution, own.env
    seen, step = [], env.step
    env.step = lambda slates: seen.append(step(slates)) or seen[-1]
    chunk = own.collect(40, rule, np.random.default_rng(0), propensities=True, responses=True)
    assert set(chunk.response) == {field.name for field in own.problem.spec.response}
    for name, values in chunk.response.items():
        np.testing.assert_array_equal(values, np.array([result[0]["response"][name] for result in seen]))
    assert (chunk.terminated | chunk.truncated)[:-1].tolist() == (~chunk.valid)[1:].tolist(), "an end, then a new start"
    assert not (chunk.terminated & chunk.truncated).any()
    assert chunk.truncated.any() == (problem in FIXED)
    assert np.isfinite(chunk.log_propensity).all()
    assert own.collect(3, rule, np.random.default_rng(0)).response is None
