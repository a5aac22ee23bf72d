"""Sums over transitions that least-squares temporal differences need; they add up over parts of a log."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recsys_cli.policies.base import Floats

MAIN_RIDGE = 1e-3  # of main effects: they are not to be shrunk, and the system is to have a solution


def penalty(free: NDArray[np.bool_], ridge: float) -> Floats:
    """Return the ridge of every column, `[D]`."""
    return np.where(free, MAIN_RIDGE * min(ridge, 1.0), ridge)


def solved(a: Floats, b: Floats) -> Floats:
    """Return w with `a w = b`; of many the shortest, if rows repeat one another."""
    try:
        return np.asarray(np.linalg.solve(a, b))
    except np.linalg.LinAlgError:
        return np.asarray(np.linalg.lstsq(a, b, rcond=None)[0])


class Sums:
    """Sums of the Bellman equation `x . w = r + y . w`, by fold.

    x are the features of what was clicked, y the discounted mean features of what follows. LSTD (Bradtke & Barto 1996)
    solves `sum x (x - y)' w = sum x r`, here with a ridge.

    Attributes:
        a: summed `x (x - y)'`, `[folds, D, D]`.
        b: summed `x r`, `[folds, D]`.
        square: summed `(x - y) (x - y)'`, `[folds, D, D]`.
        cross: summed `(x - y) r`, `[folds, D]`.
        totals: number of rows and summed `r^2`, `[folds, 2]`.
    """

    def __init__(self, folds: int, size: int) -> None:
        """Begin at zero."""
        self.a: Floats = np.zeros((folds, size, size))
        self.b: Floats = np.zeros((folds, size))
        self.square: Floats = np.zeros((folds, size, size))
        self.cross: Floats = np.zeros((folds, size))
        self.totals: Floats = np.zeros((folds, 2))

    def add(self, x: Floats, y: Floats, reward: Floats, fold: NDArray[np.int64]) -> None:
        """Add rows: `x`, `y` [n, D], `reward`, `fold` [n]."""
        for each in np.unique(fold):
            rows = fold == each
            xs, r = x[rows], reward[rows]
            ds = xs - y[rows]
            self.a[each] += xs.T @ ds
            self.b[each] += r @ xs
            self.square[each] += ds.T @ ds
            self.cross[each] += r @ ds
            self.totals[each] += len(r), r @ r

    def solve(self, columns: NDArray[np.int64], ridge: Floats, without: int | None = None) -> Floats:
        """Return the weights of some columns, learned from all folds or all but one.

        Args:
            columns: numbers, `[D']`.
            ridge: of each, `[D']`, if learned from all.
            without: fold left out.
        """
        a, b, share = self.a.sum(0), self.b.sum(0), 1.0
        if without is not None:
            a, b = a - self.a[without], b - self.b[without]
            share = 1 - self.totals[without, 0] / self.totals[:, 0].sum()
        return solved(a[np.ix_(columns, columns)] + np.diag(share * ridge), b[columns])

    def held_out_errors(self, columns: NDArray[np.int64], ridge: Floats) -> Floats:
        """Return the squared Bellman errors of each fold, summed, when it was not learned from, `[folds]`."""
        errors = np.zeros(len(self.totals))
        for fold in np.flatnonzero(self.totals[:, 0]):
            w = self.solve(columns, ridge, without=int(fold))
            square = self.square[fold][np.ix_(columns, columns)]
            errors[fold] = self.totals[fold, 1] - 2 * self.cross[fold][columns] @ w + w @ square @ w
        return errors


def best(
    sums: Sums, candidates: Sequence[NDArray[np.int64]], free: NDArray[np.bool_], ridges: Sequence[float]
) -> tuple[int, float, float]:
    """Return which candidate set of columns, and which ridge, have the least held-out error, and that error of a row.

    Sets are compared at the middle ridge, then ridges with the best set. Of sets, the smaller ones first, the first is
    taken that is worse by less than the difference's standard error over folds (Breiman et al. 1984, section 3.4.3).
    """

    def errors(which: int, ridge: float) -> Floats:
        columns = candidates[which]
        return sums.held_out_errors(columns, penalty(free[columns], ridge))

    middle = ridges[len(ridges) // 2]
    found = [errors(which, middle) for which in range(len(candidates))]
    least = min(found, key=np.sum)
    worse = [each - least for each in found]
    which = next(i for i, each in enumerate(worse) if each.sum() <= each.std(ddof=1) * np.sqrt(len(each)))
    of_ridges = {ridge: float(errors(which, ridge).sum()) for ridge in ridges if ridge != middle}
    of_ridges[middle] = float(found[which].sum())
    ridge = min(of_ridges, key=lambda ridge: of_ridges[ridge])
    return which, ridge, of_ridges[ridge] / float(sums.totals[:, 0].sum())
