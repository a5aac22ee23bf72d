"""Statistics of returns and scores: means with intervals, paired differences, scores over seeds, explained variance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % confidence interval (Student's t).

    Attributes:
        mean: of the sample.
        low: lower end; the mean if a single value allows no interval.
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
    half = float(stdtrit(sample.size - 1, (1 + level) / 2)) * error
    return Interval(mean, mean - half, mean + half, int(sample.size))


def paired_difference(ours: np.ndarray, theirs: np.ndarray) -> Interval:
    """Return the mean of `ours` minus `theirs` [N], entry by entry, and its interval.

    For returns on the same users it is much narrower than two separate intervals suggest.
    """
    return mean_interval(np.asarray(ours, float) - np.asarray(theirs, float))


def joint_score(values: Sequence[float], how: str) -> float:
    """Return one score of several seeds.

    Args:
        values: one per seed.
        how: `mean`, or `iqm`: the mean of the middle half, values at its edges weighted (Agarwal et al. 2021, "Deep
            Reinforcement Learning at the Edge of the Statistical Precipice", section 4.3).
    """
    ordered = np.sort(np.asarray(values, float))
    if how == "mean" or np.isnan(ordered).any():
        return float(ordered.mean())
    edges = np.linspace(0, 1, len(ordered) + 1)
    weights = np.clip(np.minimum(edges[1:], 0.75) - np.maximum(edges[:-1], 0.25), 0, None)
    return float(ordered @ weights / weights.sum())


def omega_squared(groups: np.ndarray, scores: np.ndarray) -> float:
    """Return the part of the scores' variance that a grouping explains (Hays 1963), 0..1.

    Unlike the raw share it does not grow with the number of groups, and is about 0 for a grouping without effect.

    Args:
        groups: group number of each score [N].
        scores: [N].
    """
    parts = [scores[groups == group] for group in np.unique(groups)]
    total = float(((scores - scores.mean()) ** 2).sum())
    left = len(scores) - len(parts)
    if total <= 0 or left <= 0 or len(parts) < 2:
        return 0.0
    within = sum(float(((part - part.mean()) ** 2).sum()) for part in parts)
    noise = within / left
    share = (total - within - (len(parts) - 1) * noise) / (total + noise)
    return max(0.0, share) if np.isfinite(share) else 0.0
