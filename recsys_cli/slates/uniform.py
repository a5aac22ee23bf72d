"""Slates drawn uniformly among the ordered slates of k different candidates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def uniform_slates(
    rng: np.random.Generator, n: int, num_candidates: int, slate_size: int, mask: NDArray[Any] | None = None
) -> NDArray[np.int64]:
    """Draw n slates, each uniform over the ordered slates without repetition.

    Args:
        rng: random stream of the draws.
        n: how many.
        num_candidates: C.
        slate_size: k; at most C without a mask.
        mask: which candidates are present, `[n, C]` bool; None if all are. A slate with fewer than k is padded with -1.

    Returns:
        Indices `[n, k]`, int64.
    """
    return slates_by_picks(lambda j, below: rng.integers(0, below, n), n, num_candidates, slate_size, mask)


def slates_by_picks(
    pick: Callable[[int, Any], NDArray[np.int64]],
    n: int,
    num_candidates: int,
    slate_size: int,
    mask: NDArray[Any] | None,
) -> NDArray[np.int64]:
    """Return the slates `[n, k]` made of one number for each position: k a slate instead of C.

    Args:
        pick: takes the position j and how many candidates are left (one number, or `[n]`); returns a number below
            that for each slate, `[n]`, which is moved past the earlier picks (in rising order).
        n: how many.
        num_candidates: C.
        slate_size: k.
        mask: see `uniform_slates`.
    """
    slates = np.empty((n, slate_size), np.int64)
    there: Any = num_candidates if mask is None else mask.sum(1)
    for j in range(slate_size):
        chosen = pick(j, there - j if mask is None else np.maximum(there - j, 1))
        for taken in np.sort(slates[:, :j], axis=1).T:
            chosen += chosen >= taken
        slates[:, j] = chosen
    if mask is None:
        return slates
    order = np.argsort(~mask, axis=1, kind="stable")
    numbers = np.take_along_axis(order, np.minimum(slates, num_candidates - 1), axis=1)
    return np.where(np.arange(slate_size) < there[:, None], numbers, -1)
