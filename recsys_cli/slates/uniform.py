"""Slates drawn uniformly among the ordered slates of k different candidates."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def uniform_slates(
    rng: np.random.Generator, n: int, num_candidates: int, slate_size: int, mask: NDArray[Any] | None = None
) -> NDArray[np.int64]:
    """Draw n slates, each uniform over the ordered slates without repetition.

    The j-th pick is a random number below `C - j`, moved past the earlier picks (in rising order): k random numbers a
    slate instead of C.

    Args:
        rng: where draws come from.
        n: how many.
        num_candidates: C.
        slate_size: k; at most C without a mask.
        mask: which candidates are present, `[n, C]` bool; None if all are. A slate with fewer than k is padded with -1.

    Returns:
        Indices `[n, k]`, int64.
    """
    slates = np.empty((n, slate_size), np.int64)
    there: Any = num_candidates if mask is None else mask.sum(1)
    for j in range(slate_size):
        pick = rng.integers(0, there - j if mask is None else np.maximum(there - j, 1), n)
        for taken in np.sort(slates[:, :j], axis=1).T:
            pick += pick >= taken
        slates[:, j] = pick
    if mask is None:
        return slates
    order = np.argsort(~mask, axis=1, kind="stable")
    numbers = np.take_along_axis(order, np.minimum(slates, num_candidates - 1), axis=1)
    return np.where(np.arange(slate_size) < there[:, None], numbers, -1)
