"""Slates drawn uniformly among the ordered slates of k different candidates."""

from __future__ import annotations

import math

import numpy as np


def uniform_slates(rng: np.random.Generator, n: int, num_candidates: int, slate_size: int) -> np.ndarray:
    """Draw n slates, each uniform over the ordered slates without repetition.

    The j-th pick is a random number below `C - j`, moved past the earlier picks (in rising order): k random numbers a
    slate instead of C.

    Returns:
        Indices `[n, k]`, int64.
    """
    slates = np.empty((n, slate_size), np.int64)
    taken = np.empty((n, 0), np.int64)
    for j in range(slate_size):
        pick = rng.integers(0, num_candidates - j, n)
        for i in range(j):
            pick += pick >= taken[:, i]
        slates[:, j] = pick
        taken = np.sort(slates[:, : j + 1], axis=1)
    return slates


def log_propensity_of_uniform(num_candidates: int, slate_size: int) -> float:
    """Return the log-probability of any one ordered slate: `-log(C! / (C-k)!)`."""
    return math.lgamma(num_candidates - slate_size + 1) - math.lgamma(num_candidates + 1)
