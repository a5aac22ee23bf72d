"""Uniform slates."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from recsys_cli.slates.uniform import uniform_slates


@pytest.mark.parametrize(("c", "k"), [(1, 1), (4, 1), (4, 2), (4, 4), (5, 3)])
def test_every_ordered_slate_is_as_likely(c, k):
    all_slates = {slate: i for i, slate in enumerate(permutations(range(c), k))}
    slates = uniform_slates(np.random.default_rng(5), 400 * len(all_slates), c, k)
    counts = np.bincount([all_slates[tuple(row)] for row in slates.tolist()], minlength=len(all_slates))
    assert len(all_slates) == 1 or stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize(("c", "k"), [(300, 5), (100, 100), (10, 2)])
def test_slates_are_valid(c, k):
    slates = uniform_slates(np.random.default_rng(0), 500, c, k)
    assert slates.shape == (500, k) and slates.dtype == np.int64
    assert slates.min() >= 0 and slates.max() < c
    assert all(len(set(row)) == k for row in slates.tolist())


def test_same_stream_same_slates():
    one, two = (uniform_slates(np.random.default_rng(9), 50, 10, 3) for _ in range(2))
    assert np.array_equal(one, two)
