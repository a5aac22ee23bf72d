"""Statistics of values that come in batches, in constant memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Moments:
    """Number, mean, variance and extremes of several columns of values."""

    def __init__(self, columns: int) -> None:
        """Begin with no values."""
        self.n = np.zeros(columns, np.int64)
        self.mean, self._squares = np.zeros(columns), np.zeros(columns)
        self.low, self.high = np.full(columns, np.inf), np.full(columns, -np.inf)

    def add(self, values: NDArray[Any], which: NDArray[np.bool_] | None = None) -> None:
        """Add values `[n, columns]`, or only those marked in `which` (Chan et al. 1983)."""
        values = np.asarray(values, np.float64)
        which = np.ones(values.shape, bool) if which is None else which
        n = which.sum(0)
        some = np.maximum(n, 1)
        mean = np.where(which, values, 0).sum(0) / some
        squares = np.where(which, np.square(values - mean), 0).sum(0)
        total, apart = np.maximum(self.n + n, 1), mean - self.mean
        self._squares += squares + np.square(apart) * self.n * n / total
        self.mean += apart * n / total
        self.n += n
        if len(values):
            self.low = np.minimum(self.low, np.where(which, values, np.inf).min(0))
            self.high = np.maximum(self.high, np.where(which, values, -np.inf).max(0))

    @property
    def sd(self) -> Floats:
        """Standard deviations of the columns."""
        return np.asarray(np.sqrt(self._squares / np.maximum(self.n - 1, 1)), np.float64)

    @property
    def error(self) -> Floats:
        """Standard errors of the means."""
        return self.sd / np.sqrt(np.maximum(self.n, 1))


class Bins:
    """A histogram that widens to hold what comes, with sums of other columns in each bin.

    Attributes:
        low: lower edge of the first bin.
        width: of every bin.
        counts: values in each bin.
        sums: sums of the columns over each bin's values, `[bins, columns]`.
    """

    def __init__(self, bins: int = 128, columns: int = 0, *, whole: bool = False) -> None:
        """Begin empty.

        Args:
            bins: how many; even.
            columns: summed beside the counts.
            whole: whether values are whole numbers, so that edges are too.
        """
        self.low, self.width, self.whole = 0.0, 0.0, whole
        self.counts, self.sums = np.zeros(bins, np.int64), np.zeros((bins, columns))

    def add(self, values: NDArray[Any], columns: NDArray[Any] | None = None) -> None:
        """Add finite values `[n]`, and what belongs to each `[n, columns]`."""
        if not len(values):
            return
        values, bins = np.asarray(values, np.float64), len(self.counts)
        low, high = values.min(), values.max()
        if not self.width:
            least = 1e-9 * max(abs(low), abs(high), 1.0)  # finer ones would be lost in rounding
            self.low, self.width = float(low), max((high - low) / (bins - 1), least)
            if self.whole:
                self.width = float(np.exp2(np.ceil(np.log2(max(self.width, 1.0)))))
        while low < self.low or high >= self.low + bins * self.width:
            self._widen(downwards=bool(low < self.low))
        at = np.minimum(((values - self.low) / self.width).astype(np.int64), bins - 1)
        self.counts += np.bincount(at, minlength=bins)
        for number in range(self.sums.shape[1]):
            assert columns is not None
            self.sums[:, number] += np.bincount(at, columns[:, number], minlength=bins)

    def _widen(self, *, downwards: bool) -> None:
        """Double the width; downwards, the new half lies below."""
        half = len(self.counts) // 2
        counts = self.counts.reshape(half, 2).sum(1)
        sums = self.sums.reshape(half, 2, -1).sum(1)
        self.counts, self.sums = np.zeros_like(self.counts), np.zeros_like(self.sums)
        place = slice(half, None) if downwards else slice(half)
        self.counts[place], self.sums[place] = counts, sums
        self.low -= 2 * half * self.width if downwards else 0.0
        self.width *= 2

    def coarse(self, most: int) -> tuple[Floats, NDArray[np.int64]]:
        """Return the edges and counts of at most `most` wider bins, without empty ones at the ends."""
        there = np.flatnonzero(self.counts)
        if not len(there):
            return np.zeros(0), np.zeros(0, np.int64)
        first, last = there[0], there[-1] + 1
        joined = -(-(last - first) // most)
        last = first + -(-(last - first) // joined) * joined
        counts = np.concatenate([self.counts, np.zeros(joined, np.int64)])[first:last].reshape(-1, joined).sum(1)
        return self.low + self.width * (first + joined * np.arange(len(counts) + 1)), counts

    def quantile_groups(self, groups: int) -> NDArray[np.int64]:
        """Return each bin's group, `[bins]`, so that groups in order hold about as many values each."""
        after = np.cumsum(self.counts)
        middle = after - self.counts / 2
        return np.minimum((groups * middle / max(after[-1], 1)).astype(np.int64), groups - 1)
