"""The limit of sessions, learned from the totals at their ends, and what networks then see."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from recsys_cli.config.compose import compose
from recsys_cli.policies.session_limit import SCALES, SessionLimit, ends_of, learned_limit

WEIGHTS = np.array([0.25, 1.5, -0.5, 0.0])


def totals(sessions: int, used: float | np.ndarray) -> np.ndarray:
    """Return totals of which the share `used` of a session is used up, `[sessions, 4]`."""
    rng = np.random.default_rng(0)
    h = rng.uniform(0.1, 2, (sessions, 4))
    h[:, 0] += (used - h @ WEIGHTS) / WEIGHTS[0]
    return h


@pytest.mark.parametrize(("sessions", "known"), [(7, False), (30, True)])
def test_the_limit_is_the_plane_at_which_enough_sessions_end(sessions: int, known: bool) -> None:
    found = learned_limit(ends_of(totals(sessions, 1.0)))
    np.testing.assert_allclose(found, WEIGHTS if known else 0, atol=1e-3)


def test_sessions_that_end_anywhere_have_no_limit() -> None:
    used = np.random.default_rng(1).exponential(1.0, 500)
    assert not learned_limit(ends_of(totals(500, used))).any()


def test_what_is_left_is_seen_instead_of_the_totals_once_the_limit_is_known() -> None:
    limit = SessionLimit()
    memory = torch.tensor(np.c_[totals(5, 0.9), np.arange(5)], dtype=torch.float32)
    limit.learn(torch.tensor(totals(4, 1.0)))
    assert torch.equal(limit(memory), memory)
    limit.learn(torch.tensor(totals(30, 1.0)))
    seen = limit(memory)
    np.testing.assert_allclose(seen[:, :4], np.tile(np.minimum(0.1 * np.array(SCALES), 1), (5, 1)), atol=2e-2)
    assert torch.equal(seen[:, 4], memory[:, 4])


def test_it_learns_the_same_from_all_ends_at_once_and_part_by_part() -> None:
    whole, parts = SessionLimit(), SessionLimit()
    ends = torch.tensor(totals(40, 1.0))
    whole.learn(ends)
    for part in ends.split(7):
        parts.learn(part)
    torch.testing.assert_close(whole.state_dict(), parts.state_dict())


@pytest.mark.parametrize(
    ("words", "memory"),
    [
        (("env=interest_evolution",), "raw"),
        (("env=interest_evolution", "algo.memory=documents"), "documents"),
        (("env=interest_evolution", "algo.network.kind=documents"), "none"),
        (("env=interest_exploration",), "none"),
        (("env=long_term_satisfaction",), "none"),
    ],
)
def test_slateq_remembers_what_pays(words: Sequence[str], memory: str) -> None:
    assert compose("train", [*words, "algo=slateq"]).algo.memory == memory


@pytest.mark.parametrize(
    ("words", "users"),
    [
        ((), 300),
        (("steps=20000",), 20),
        (("steps=6000",), 16),
        (("steps=30000000",), 1024),
        (("algo.users=64",), 64),
        (("resources.users_per_runner=8",), 8),
    ],
)
def test_few_enough_users_play_that_sessions_follow_each_other(words: Sequence[str], users: int) -> None:
    run = compose("train", ["algo=slateq", *words])
    assert run.algo.users_in(run) == users
