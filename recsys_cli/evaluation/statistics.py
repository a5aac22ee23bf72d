"""Means with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % confidence interval (Student's t).

    Attributes:
        mean: of the sample.
        low: lower end; equal to the mean where a single value allows no interval.
        high: upper end.
        n: size of the sample.
    """

    mean: float
    low: float
    high: float
    n: int

    @property
    def half_width(self) -> float:
        """Half the interval's width."""
        return (self.high - self.low) / 2

    def __str__(self) -> str:
        """Return `mean ± half width`."""
        return f"{self.mean:.1f} ± {self.half_width:.1f}" if self.n > 1 else f"{self.mean:.1f}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def mean_interval(values: Sequence[float] | np.ndarray, level: float = 0.95) -> Interval:
    """Return the mean of independent values and its confidence interval.

    Raises:
        ValueError: no values.
    """
    sample = np.asarray(values, float)
    if not sample.size:
        raise ValueError("an interval needs at least one value")
    mean = float(sample.mean())
    if sample.size == 1:
        return Interval(mean, mean, mean, 1)
    error = float(sample.std(ddof=1)) / np.sqrt(sample.size)
    half = float(stats.t.ppf((1 + level) / 2, sample.size - 1)) * error
    return Interval(mean, mean - half, mean + half, int(sample.size))
