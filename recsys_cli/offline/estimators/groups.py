"""Sums over groups of episodes: what linear estimators need, in memory that does not grow with the log."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from recsys_cli.offline.steps import Steps

Floats = NDArray[np.float64]

GROUPS = 50  # episodes are dealt to so many groups, the units of intervals and of cross-fitting


class GroupSums:
    """Named sums over the episodes of each group.

    Attributes:
        episodes: number of episodes of each group, `[GROUPS]`.
        sums: arrays `[GROUPS, ...]` by name.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.episodes = np.zeros(GROUPS)
        self.sums: dict[str, Floats] = {}

    def groups_of(self, steps: Steps) -> list[NDArray[np.int64]]:
        """Deal the next episodes to the groups, one after another; return each group's rows."""
        first, episodes = int(self.episodes.sum()), len(steps.starts)
        group = (first + np.arange(episodes)) % GROUPS
        self.episodes += np.bincount(group, minlength=GROUPS)
        by_row = np.repeat(group, steps.lengths)
        order = np.argsort(by_row, kind="stable")
        return np.split(order, np.searchsorted(by_row[order], np.arange(1, GROUPS)))

    def add(self, group: int, sums: Mapping[str, Floats | float | int]) -> None:
        """Add to the sums of a group."""
        for name, value in sums.items():
            if name not in self.sums:
                self.sums[name] = np.zeros((GROUPS, *np.shape(value)))
            self.sums[name][group] += value

    def used(self) -> tuple[Floats, dict[str, Floats]]:
        """Return the numbers of episodes and the sums of the groups that have any."""
        there = self.episodes > 0
        return self.episodes[there], {name: values[there] for name, values in self.sums.items()}
