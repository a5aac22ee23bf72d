"""Distributions behind a function: one computed on demand, and one known only by draws."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.slates.distributions.base import Floats, Ints, SlateDistribution
from recsys_cli.slates.seeded import Seeds

Rows = Ints | None

DRAWS = 1000  # that a probability is estimated from


class Deferred(SlateDistribution):
    """Computed at the first query, and only for the queried users."""

    def __init__(
        self,
        make: Callable[[Rows], SlateDistribution],
        num_users: int,
        num_candidates: int,
        slate_size: int,
        mask: NDArray[Any] | None = None,
        rows: Rows = None,
    ) -> None:
        """Take the function.

        Args:
            make: takes users' numbers (None: all of them), returns their distribution.
            num_users: N.
            num_candidates: C.
            slate_size: k.
            mask: see `SlateDistribution`.
            rows: the numbers of the users that this is about; all if None.
        """
        super().__init__(num_users, num_candidates, slate_size, mask)
        self._make, self._rows = make, rows

    @cached_property
    def known(self) -> SlateDistribution:
        """The distribution."""
        return self._make(self._rows)

    @property
    def kind(self) -> str:
        """That of the distribution."""
        return self.known.kind

    @property
    def exact(self) -> bool:
        """Whether what is deferred is exact."""
        return self.known.exact

    def sample(self, rng: np.random.Generator) -> Ints:
        """Draw slates."""
        return self.known.sample(rng)

    def sample_seeded(self, seeds: Seeds) -> Ints:
        """See `SlateDistribution.sample_seeded`."""
        return self.known.sample_seeded(seeds)

    def draw(self, rng: np.random.Generator) -> tuple[Ints, Floats]:
        """See `SlateDistribution.draw`."""
        return self.known.draw(rng)

    def mode(self) -> Ints:
        """See `SlateDistribution.mode`."""
        return self.known.mode()

    def log_prob(self, slates: NDArray[Any]) -> Floats:
        """See `SlateDistribution.log_prob`."""
        return self.known.log_prob(slates)

    def prefix_log_prob(self, slates: NDArray[Any]) -> Floats:
        """See `SlateDistribution.prefix_log_prob`."""
        return self.known.prefix_log_prob(slates)

    def position_probs(self) -> Floats:
        """See `SlateDistribution.position_probs`."""
        return self.known.position_probs()

    def standard_error(self, slates: NDArray[Any]) -> Floats:
        """See `SlateDistribution.standard_error`."""
        return self.known.standard_error(slates)

    def take(self, rows: NDArray[Any]) -> SlateDistribution:
        """See `SlateDistribution.take`; nothing is computed for the others."""
        if "known" in self.__dict__:
            return self.known.take(rows)
        sizes = (len(rows), self.num_candidates, self.slate_size)
        return Deferred(self._make, *sizes, self.mask_of(rows), rows if self._rows is None else self._rows[rows])


class DrawnOnly(SlateDistribution):
    """Known only by draws, as Thompson sampling is; probabilities are estimated from a number of them.

    A slate that was never drawn is estimated impossible, with a standard error above 0.
    """

    kind = "by draws"

    def __init__(
        self,
        draw: Callable[[Rows, np.random.Generator], NDArray[Any]],
        num_users: int,
        num_candidates: int,
        slate_size: int,
        mask: NDArray[Any] | None = None,
        *,
        rows: Rows = None,
        draws: int = DRAWS,
        seed: int = 0,
    ) -> None:
        """Take the function.

        Args:
            draw: takes users' numbers (None: all of them) and a random stream, returns slates drawn for them.
            num_users: N.
            num_candidates: C.
            slate_size: k.
            mask: see `SlateDistribution`.
            rows: the numbers of the users that this is about; all if None.
            draws: number of draws for an estimate.
            seed: of their random stream.
        """
        super().__init__(num_users, num_candidates, slate_size, mask)
        self._draw, self._rows = draw, rows
        self.draws, self.seed = draws, seed

    @property
    def exact(self) -> bool:
        """It never is."""
        return False

    def sample(self, rng: np.random.Generator) -> Ints:
        """Draw slates."""
        return np.asarray(self._draw(self._rows, rng), np.int64)

    @cached_property
    def _drawn(self) -> Ints:
        """The draws that are counted, `[draws, N, k]`."""
        rng = np.random.Generator(np.random.SFC64(self.seed))
        return np.stack([self.sample(rng) for _ in range(self.draws)])

    def mode(self) -> Ints:
        """Return the slates drawn most often."""
        best = np.empty((self.num_users, self.slate_size), np.int64)
        for user in range(self.num_users):
            slates, counts = np.unique(self._drawn[:, user], axis=0, return_counts=True)
            best[user] = slates[counts.argmax()]
        return best

    def _frequencies(self, slates: NDArray[Any]) -> Floats:
        return np.logical_and.accumulate(self._drawn == slates, axis=-1).mean(0)

    def prefix_log_prob(self, slates: NDArray[Any]) -> Floats:
        """See `SlateDistribution.prefix_log_prob`."""
        with np.errstate(divide="ignore"):
            return np.log(self._frequencies(slates))

    def position_probs(self) -> Floats:
        """See `SlateDistribution.position_probs`."""
        return np.stack([(self._drawn == number).mean(0) for number in range(self.num_candidates)], axis=-1)

    def standard_error(self, slates: NDArray[Any]) -> Floats:
        """Return the binomial standard error, with one extra draw of the slate and one of another."""
        p = (self._frequencies(slates)[:, -1] * self.draws + 1) / (self.draws + 2)
        return np.sqrt(p * (1 - p) / self.draws)

    def take(self, rows: NDArray[Any]) -> DrawnOnly:
        """See `SlateDistribution.take`."""
        sizes = (len(rows), self.num_candidates, self.slate_size)
        about = rows if self._rows is None else self._rows[rows]
        return DrawnOnly(self._draw, *sizes, self.mask_of(rows), rows=about, draws=self.draws, seed=self.seed)
