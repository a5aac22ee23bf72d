"""Linear equations whose unknowns have units of very different size, as prices beside flags."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def inverse(matrix: Floats, squares: Floats) -> Floats:
    """Return the inverse of a matrix, or its pseudo-inverse if some unknowns cannot be told apart.

    Args:
        matrix: of sums of products of features, `[P, P]`, symmetric or not.
        squares: summed squares of the features, `[P]`, by which rows and columns are brought to one size.
    """
    unit = 1 / np.sqrt(np.where(squares > 0, squares, 1.0))
    scaled = matrix * unit[:, None] * unit
    try:
        found = np.linalg.inv(scaled)
    except np.linalg.LinAlgError:
        found = np.full_like(scaled, np.inf)
    if not np.abs(found).max(initial=0) < 1 / np.finfo(float).eps:
        found = np.linalg.pinv(scaled, rcond=1e-12)
    return np.asarray(found * unit[:, None] * unit)
