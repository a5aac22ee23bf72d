"""Random numbers by seed and place, whatever else is drawn beside them.

The c-th number of a seed s is SplitMix64's c-th output from the state s (Steele, Lea & Flood 2014, "Fast splittable
pseudorandom number generators", section 5): a hash of the two, so that no stream has to be kept or advanced.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Seeds = NDArray[np.uint64]
Floats = NDArray[np.float64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFTS = np.uint64(30), np.uint64(27), np.uint64(31)


def bits(seeds: Seeds, count: int) -> Seeds:
    """Return the first `count` random 64-bit numbers of each seed `[N]`, `[N, count]`; good seeds themselves."""
    z = seeds[:, None] + _GOLDEN * np.arange(1, count + 1, dtype=np.uint64)
    z ^= z >> _SHIFTS[0]
    z *= _FIRST
    z ^= z >> _SHIFTS[1]
    z *= _SECOND
    z ^= z >> _SHIFTS[2]
    return z


def uniforms(numbers: Seeds) -> Floats:
    """Return random bits as numbers above 0 and below 1."""
    return np.asarray(((numbers >> np.uint64(12)) + 0.5) * 2.0**-52, np.float64)


def exponentials(seeds: Seeds, count: int) -> Floats:
    """Return the first `count` standard exponential numbers of each seed `[N]`, `[N, count]`; all above 0."""
    return -np.log(uniforms(bits(seeds, count)))
