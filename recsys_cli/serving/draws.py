"""Draws that depend on names alone: the same event gets the same slate, the same session the same policy, anywhere."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray


def seed_of(*parts: str) -> int:
    """Return 64 bits that depend on the parts, and on where each begins."""
    digest = blake2b("\0".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def seeds_of(names: Iterable[str], *more: str) -> NDArray[np.uint64]:
    """Return the seed of each name, together with the same other parts, `[N]`."""
    return np.array([seed_of(name, *more) for name in names], np.uint64)


def uniforms_of(names: Iterable[str], *more: str) -> NDArray[np.float64]:
    """Return numbers in [0, 1) that depend on each name and the same other parts, `[N]`."""
    return np.asarray((seeds_of(names, *more) >> np.uint64(11)) * 2.0**-53, np.float64)
