"""Standard errors of least-squares values: a sandwich with sessions as the units that are independent."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recsys_cli.policies.base import Floats

Ints = NDArray[np.int64]


class Influence:
    """Sums over rows of the Bellman equation `x . w = r + y . w`, for given weights.

    With A = sum x (x - y)' + ridge, an episode e moves the weights by about `A^-1 sum_e x delta`, its influence, with
    delta the Bellman errors of its rows: dependent steps of one session count as one observation. The covariance is
    the influences' (Liang & Zeger 1986), times `rows / (rows - effective features)`: residuals of rows that were
    learned from are too small. What the ridge shrinks is in no standard error.
    """

    def __init__(self, weights: Floats) -> None:
        """Take the weights, `[D]`."""
        self.w, size = weights, len(weights)
        self.a: Floats = np.zeros((size, size))
        self.rows = 0
        self.scores, self.firsts = _Units(size), _Units(size)

    def add(self, x: Floats, y: Floats, reward: Floats, episode: Ints) -> None:
        """Add rows: `x`, `y` [n, D], `reward`, `episode` [n]."""
        self.a += x.T @ (x - y)
        self.scores.add(x * (reward + y @ self.w - x @ self.w)[:, None], episode)
        self.rows += len(x)

    def add_first(self, phi: Floats, episode: Ints) -> None:
        """Add mean features of what is clicked in first steps, `[m, D]`, and their episodes, `[m]`."""
        self.firsts.add(phi, episode)

    def result(self, ridge: Floats) -> tuple[Floats, tuple[float, float] | None]:
        """Return the covariance of the weights `[D, D]`, and mean value of first steps with its standard error.

        Args:
            ridge: of each column, `[D]`.
        """
        inverse = np.linalg.pinv(self.a + np.diag(ridge))
        number, scores = self.scores.result()
        influence = (scores - scores.mean(0)) @ inverse.T
        effective = float(np.einsum("ij,ji->", inverse, self.a))
        units = len(number)
        inflated = units / max(units - 1, 1) * self.rows / max(self.rows - effective, 1.0)
        covariance = influence.T @ influence * inflated
        of_firsts, phi = self.firsts.result()
        if not len(phi):
            return covariance, None
        mean = phi.mean(0)
        moved = influence @ mean
        moved[np.searchsorted(number, of_firsts)] += (phi @ self.w - mean @ self.w) / len(phi)
        return covariance, (float(mean @ self.w), float(np.sqrt(moved @ moved * inflated)))


class _Units:
    """Sums of rows by the episode they belong to; one that goes on in the next part is added to."""

    def __init__(self, size: int) -> None:
        self.numbers: list[Ints] = [np.zeros(0, np.int64)]
        self.sums: list[Floats] = [np.zeros((0, size))]

    def add(self, rows: Floats, unit: Ints) -> None:
        if not len(rows):
            return
        order = np.argsort(unit, kind="stable")
        number, start = np.unique(unit[order], return_index=True)
        self.numbers.append(number)
        self.sums.append(np.add.reduceat(rows[order], start, axis=0))

    def result(self) -> tuple[Ints, Floats]:
        numbers, rows = np.concatenate(self.numbers), np.concatenate(self.sums)
        number, which = np.unique(numbers, return_inverse=True)
        sums = np.zeros((len(number), rows.shape[1]))
        np.add.at(sums, which, rows)
        return number, sums
