"""Trivial distributions: one certain slate, and uniform slates."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from recsys_cli.slates.distributions.base import Floats, Ints, SlateDistribution
from recsys_cli.slates.seeded import Seeds, bits, uniforms
from recsys_cli.slates.uniform import slates_by_picks, uniform_slates


class Certain(SlateDistribution):
    """One certain slate per user."""

    kind = "certain"

    def __init__(self, slates: NDArray[Any], num_candidates: int, mask: NDArray[Any] | None = None) -> None:
        """Take the slates `[N, k]`.

        Raises:
            ValueError: a slate holds a masked candidate, or ends before the candidates run out.
        """
        slates = np.asarray(slates, np.int64)
        super().__init__(len(slates), num_candidates, slates.shape[1], mask)
        if self.mask is not None and not self.possible(slates).all():
            raise ValueError("a slate holds a masked candidate, or is shorter than it could be")
        self._slates = slates

    def sample(self, rng: np.random.Generator) -> Ints:
        """Return the slates."""
        return self._slates

    def sample_seeded(self, seeds: Seeds) -> Ints:
        """Return the slates."""
        return self._slates

    def mode(self) -> Ints:
        """Return the slates."""
        return self._slates

    def prefix_log_prob(self, slates: NDArray[Any]) -> Floats:
        """See `SlateDistribution.prefix_log_prob`."""
        return np.where(np.logical_and.accumulate(slates == self._slates, axis=1), 0.0, -np.inf)

    def position_probs(self) -> Floats:
        """See `SlateDistribution.position_probs`."""
        return (self._slates[:, :, None] == np.arange(self.num_candidates)).astype(np.float64)

    def take(self, rows: NDArray[Any]) -> Self:
        """See `SlateDistribution.take`."""
        return type(self)(self._slates[rows], self.num_candidates, self.mask_of(rows))


class Uniform(SlateDistribution):
    """Every ordered slate is equally likely."""

    kind = "uniform"

    def sample(self, rng: np.random.Generator) -> Ints:
        """Draw slates."""
        return uniform_slates(rng, self.num_users, self.num_candidates, self.slate_size, self.mask)

    def sample_seeded(self, seeds: Seeds) -> Ints:
        """See `SlateDistribution.sample_seeded`."""
        drawn = uniforms(bits(seeds, self.slate_size))
        sizes = (self.num_users, self.num_candidates, self.slate_size)
        return slates_by_picks(lambda j, below: (drawn[:, j] * below).astype(np.int64), *sizes, self.mask)

    def sample_rows(self, rng: np.random.Generator, rows: NDArray[Any]) -> Ints:
        """Draw slates for all users, so that the random stream does not depend on the queried rows."""
        return self.sample(rng)[rows]

    def mode(self) -> Ints:
        """Return the first k present candidates: no slate is more probable."""
        first = np.broadcast_to(np.arange(self.slate_size), (self.num_users, self.slate_size))
        if self.mask is None:
            return first.copy()
        order = np.argsort(~self.mask, axis=1, kind="stable")
        return np.where(
            first < self.candidates_there()[:, None],
            np.take_along_axis(order, np.minimum(first, self.num_candidates - 1), axis=1),
            -1,
        )

    def prefix_log_prob(self, slates: NDArray[Any]) -> Floats:
        """See `SlateDistribution.prefix_log_prob`."""
        if self.mask is None:
            falling = _falling(self.num_candidates, self.slate_size)
        else:
            left = self.candidates_there()[:, None] - np.arange(self.slate_size)
            falling = -np.log(np.maximum(left, 1)).cumsum(1)
        return np.where(self.possible(slates), falling, -np.inf)

    def position_probs(self) -> Floats:
        """See `SlateDistribution.position_probs`."""
        there = self.candidates_there()[:, None]
        share = np.where(np.arange(self.slate_size) < there, 1 / np.maximum(there, 1), 0.0)
        mask = np.ones((self.num_users, self.num_candidates), bool) if self.mask is None else self.mask
        return np.asarray(share[:, :, None] * mask[:, None])

    def take(self, rows: NDArray[Any]) -> Self:
        """See `SlateDistribution.take`."""
        return type(self)(len(rows), self.num_candidates, self.slate_size, self.mask_of(rows))


@lru_cache
def _falling(candidates: int, slate_size: int) -> Floats:
    """Return the log-probabilities `[1, k]` of the beginnings of a slate of so many candidates."""
    return -np.log(candidates - np.arange(slate_size))[None].cumsum(1)
