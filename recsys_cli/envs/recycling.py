"""Memory for observations, reused once the caller has released it."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEPT = 3  # buffers to keep: the caller usually holds this step's observation and the last


class RecycledArrays:
    """Hands out arrays of one shape and dtype whose memory nobody else holds.

    Fresh memory for a large observation costs more than writing it: the operating system clears every page. So the
    last few buffers are kept, and one is reused when nothing refers to it any more. Every array that NumPy, PyTorch or
    a memory view makes from one refers to its buffer, so memory still held by a caller is never written to. Contents
    are arbitrary.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        """Set the shape and the dtype; memory is allocated on demand."""
        self._shape, self._dtype = shape, dtype
        self._buffers: list[NDArray[Any]] = []
        self._idle = _references([np.empty(0)])[0]

    def take(self) -> NDArray[Any]:
        """Return an array to write to and give away."""
        for buffer, count in zip(self._buffers, _references(self._buffers), strict=True):
            if count == self._idle:
                return buffer.view()
        buffer = np.empty(self._shape, self._dtype)
        self._buffers = [*self._buffers, buffer][-KEPT:]
        return buffer.view()


def _references(buffers: list[NDArray[Any]]) -> list[int]:
    """Return each array's reference count; arrays held only by the list all have the same count."""
    return [sys.getrefcount(buffer) for buffer in buffers]
