"""Common random numbers: blocks of users that live through the same chances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray


class CommonDraws(np.random.Generator):
    """A random stream from which equal blocks of users draw the same numbers.

    Only draws for all users at once are shared: the first users, all candidates, choices. Those for a few, such as of
    what they clicked, are every user's own, as are the rarer laws. Each block's law is that of as many users alone.
    """

    def __init__(self, bits: np.random.BitGenerator, users: int, blocks: int) -> None:
        """Draw from `bits` for `users`, a multiple of `blocks`."""
        super().__init__(bits)
        self._users, self._blocks = users, blocks

    def random(self, size: Any = None, dtype: Any = np.float64, out: None = None) -> Any:  # type: ignore[override]
        """See NumPy."""
        return self._shared(super().random, size, dtype=dtype)

    def standard_normal(self, size: Any = None, dtype: Any = np.float64, out: None = None) -> Any:  # type: ignore[override]
        """See NumPy."""
        return self._shared(super().standard_normal, size, dtype=dtype)

    def _shared(self, draw: Callable[..., Any], size: Any, **how: Any) -> Any:
        """Draw for one block what has an axis of all users, and repeat it."""
        shape = [size] if isinstance(size, int | np.integer) else list(size or ())
        axis = next((axis for axis, length in enumerate(shape) if length >= self._users), None)
        if axis is None or shape[axis] % self._blocks:
            return draw(size, **how)
        shape[axis] //= self._blocks
        repeats = [1] * len(shape)
        repeats[axis] = self._blocks
        drawn: NDArray[Any] = np.tile(draw(tuple(shape), **how), repeats)
        return drawn
