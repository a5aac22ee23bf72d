"""Candidates that are copies of each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recsys_cli.config.structured import load
from recsys_cli.slates.distinct import MANY, enough_of_each
from recsys_cli.slates.optimal import optimal_slates


@pytest.mark.parametrize("rare", [False, True])
def test_the_first_of_each_kind_are_enough_for_the_best_slate(rare: bool) -> None:
    rng, kinds, k = np.random.default_rng(0), 4, 3
    numbers = rng.integers(1 if rare else 0, kinds, (50, 200)).astype(np.uint8)
    if rare:  # one, and late
        numbers[:, 150] = 0
    few = enough_of_each(numbers, kinds, k)
    assert few is not None and few.shape == (50, kinds * k)
    assert all(len(set(row)) == kinds * k for row in few.tolist())
    taken = np.take_along_axis(numbers, few, axis=1)
    for row, kept, at in zip(numbers, taken, few, strict=True):
        for kind in range(kinds):
            first = np.flatnonzero(row == kind)[:k]
            assert set(first) <= set(at) and (kept == kind).sum() >= len(first)
    v, q = torch.rand(50, kinds, dtype=torch.float64), torch.randn(50, kinds, dtype=torch.float64)
    null = torch.rand(50, dtype=torch.float64), torch.randn(50, dtype=torch.float64)
    every, some = (torch.from_numpy(each.astype(int)) for each in (numbers, taken))
    best, same = (optimal_slates(v.gather(1, of), q.gather(1, of), *null, k)[1] for of in (every, some))
    torch.testing.assert_close(best, same)


def test_few_candidates_are_all_looked_at() -> None:
    numbers = np.zeros((2, MANY * 6), np.uint8)
    assert enough_of_each(numbers, 2, 3) is not None
    assert enough_of_each(numbers[:, 1:], 2, 3) is None


def test_a_policy_shows_slates_that_are_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    env = load("env", "interest_evolution", num_candidates=500, slate_size=3, num_topics=5)
    policy = load("algo", "slateq").make_policy(env.spec, 0)
    observation, _ = env.make_vec(40, doc_format="index").reset(seed=0)
    fast = policy.slates(observation)
    monkeypatch.setattr("recsys_cli.policies.network.enough_of_each", lambda *given: None)
    slow, doc = policy.slates(observation), observation["doc"]
    shown = (np.sort(np.take_along_axis(doc, slates, axis=1), axis=1) for slates in (fast, slow))
    assert np.array_equal(*shown)
    assert all(len(set(row)) == 3 for row in fast.tolist())
