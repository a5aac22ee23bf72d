"""The greatest of many, in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FEW = 48  # columns up to which sorting all is cheaper than finding the greatest one by one


def greatest(scores: NDArray[Any], k: int) -> NDArray[np.int64]:
    """Return the columns of each row's k greatest numbers, falling, `[B, k]`; the first of equals first."""
    if scores.shape[1] <= FEW or k > FEW // 4:
        return _sorted(scores, k)
    left, rows = scores.copy(), np.arange(len(scores))
    slates = np.empty((len(scores), k), np.int64)
    for place in range(k):
        slates[:, place] = best = left.argmax(1)
        if np.isneginf(left[rows, best]).any():  # those taken are so too
            return _sorted(scores, k)
        left[rows, best] = -np.inf
    return slates


def _sorted(scores: NDArray[Any], k: int) -> NDArray[np.int64]:
    return (-scores).argsort(1, "stable")[:, :k]
