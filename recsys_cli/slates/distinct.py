"""Candidates that are copies of each other: a slate of k never needs more than k of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MANY = 4  # times as many candidates as are needed make it worth the while


def enough_of_each(numbers: NDArray[Any], kinds: int, k: int) -> NDArray[np.intp] | None:
    """Return candidates that suffice for the best slate of k, whatever each kind is worth.

    These are the first k of each kind, filled up with others if a kind has fewer.

    Args:
        numbers: kind of each candidate, `[n, C]`, 0 to `kinds` - 1: those of one kind have the same features.
        kinds: number of kinds (M).
        k: slate size.

    Returns:
        Positions `[n, M k]`, rising but for the last ones that fill up; None if C is not much more than that.
    """
    wanted, candidates = kinds * k, numbers.shape[1]
    if candidates < MANY * wanted:
        return None
    for width in (MANY * wanted, candidates):  # as a rule the first few hold enough
        beyond = _copies_before(numbers[:, :width]) >= k
        if width == candidates or (beyond.sum(axis=1) == width - wanted).all():
            break
    return np.argsort(beyond, axis=1, kind="stable")[:, :wanted]


def _copies_before(numbers: NDArray[Any]) -> NDArray[np.intp]:
    """Return how many earlier candidates of its row each is a copy of, `[n, C]`."""
    order = np.argsort(numbers, axis=1, kind="stable")
    grouped = np.take_along_axis(numbers, order, axis=1)
    place = np.arange(numbers.shape[1])
    first = np.zeros(numbers.shape, np.intp)  # place of the first of its kind
    first[:, 1:] = np.where(grouped[:, 1:] != grouped[:, :-1], place[1:], 0)
    copies = np.empty(numbers.shape, np.intp)
    np.put_along_axis(copies, order, place - np.maximum.accumulate(first, axis=1), axis=1)
    return copies
