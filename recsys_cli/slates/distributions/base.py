"""The interface of distributions over slates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.slates.seeded import Seeds

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

PADDING = -1  # behind the end of a slate that is shorter than k


class SlateDistribution(ABC):
    """N independent distributions over ordered slates of k different candidates, one per user.

    A slate is a list of candidate numbers. If a user has fewer than k candidates, slates hold them all and are padded
    with -1; a candidate missing from the `mask` [N, C] is on no slate. Queried slates may be any integers: impossible
    ones have probability 0.

    Attributes:
        num_users: N.
        num_candidates: C.
        slate_size: k.
        mask: which candidates are present, `[N, C]`; None if all are.
    """

    def __init__(self, num_users: int, num_candidates: int, slate_size: int, mask: NDArray[Any] | None = None) -> None:
        """Take the sizes."""
        self.num_users, self.num_candidates, self.slate_size = num_users, num_candidates, slate_size
        if mask is None and num_candidates < slate_size:
            mask = np.ones((num_users, num_candidates), bool)
        self.mask: Bools | None = None if mask is None else np.asarray(mask, bool)

    @property
    @abstractmethod
    def kind(self) -> str:
        """Its name in tables."""

    @property
    def exact(self) -> bool:
        """Whether probabilities are exact; else they are estimated from draws."""
        return True

    @abstractmethod
    def sample(self, rng: np.random.Generator) -> Ints:
        """Draw one slate per user, `[N, k]`."""

    def sample_seeded(self, seeds: Seeds) -> Ints:
        """Draw one slate per user, `[N, k]`, each by a seed of its own, `[N]` uint64.

        A user's slate depends on their seed and distribution alone, not on who else is there; nor on absent candidates
        behind those present.
        """
        if not len(seeds):
            return np.empty((0, self.slate_size), np.int64)
        alone = (self.take(np.array([row])) for row in range(self.num_users))
        streams = (np.random.Generator(np.random.SFC64(int(seed))) for seed in seeds)
        return np.concatenate([law.sample(stream) for law, stream in zip(alone, streams, strict=True)])

    @abstractmethod
    def mode(self) -> Ints:
        """Return the most probable slates, `[N, k]`; any one if there are ties."""

    @abstractmethod
    def prefix_log_prob(self, slates: NDArray[Any]) -> Floats:
        """Return, at j, the log-probability that a slate begins with the first j + 1 documents, `[N, k]`."""

    @abstractmethod
    def position_probs(self) -> Floats:
        """Return the probability that a candidate is at a position, `[N, k, C]`."""

    @abstractmethod
    def take(self, rows: NDArray[Any]) -> SlateDistribution:
        """Return the distribution of some of the users, by their numbers."""

    def log_prob(self, slates: NDArray[Any]) -> Floats:
        """Return the log-probabilities `[N]` of the slates `[N, k]`; -inf if impossible."""
        return self.prefix_log_prob(slates)[:, -1]

    def item_probs(self) -> Floats:
        """Return the probability that a candidate is on the slate, `[N, C]`."""
        return self.position_probs().sum(1)

    def draw(self, rng: np.random.Generator) -> tuple[Ints, Floats]:
        """Draw one slate per user, `[N, k]`, and also return their log-probabilities `[N]`."""
        slates = self.sample(rng)
        return slates, self.log_prob(slates)

    def position_log_prob(self, slates: NDArray[Any]) -> Floats:
        """Return each document's log-probability given those before it, `[N, k]`; the sum is `log_prob`.

        0 after an impossible document, since what would follow is undefined.
        """
        prefix = self.prefix_log_prob(slates)
        if np.isfinite(prefix[:, -1]).all():  # the longer, the less probable
            each = prefix.copy()
            each[:, 1:] -= prefix[:, :-1]
            return each
        before = np.concatenate([np.zeros((len(prefix), 1)), prefix[:, :-1]], axis=1)
        with np.errstate(invalid="ignore"):
            return np.where(np.isneginf(before), 0.0, prefix - before)

    def standard_error(self, slates: NDArray[Any]) -> Floats:
        """Return the standard errors `[N]` of the slates' probabilities (not of their logs); 0 if exact."""
        return np.zeros(self.num_users)

    def sample_rows(self, rng: np.random.Generator, rows: NDArray[Any]) -> Ints:
        """Draw slates for some of the users, `[len(rows), k]`."""
        return self.take(rows).sample(rng)

    def mask_of(self, rows: NDArray[Any]) -> Bools | None:
        """Return the mask of some of the users."""
        return None if self.mask is None else self.mask[rows]

    def candidates_there(self) -> Ints:
        """Return how many candidates each user has, `[N]`."""
        if self.mask is None:
            return np.full(self.num_users, self.num_candidates)
        return self.mask.sum(1)

    def possible(self, slates: NDArray[Any]) -> Bools:
        """Return, at j, whether a slate may begin with the first j + 1 documents, `[N, k]`."""
        slates = np.asarray(slates)
        if len(slates) == 1:
            return self._possible_alone(slates[0].tolist())
        there = self.candidates_there()[:, None]
        inside = (slates >= 0) & (slates < self.num_candidates)
        at = np.where(inside, slates, 0)
        good = inside if self.mask is None else inside & np.take_along_axis(self.mask, at, axis=1)
        for place in range(1, slates.shape[1]):
            good[:, place] &= (slates[:, :place] != slates[:, place, None]).all(1)
        ended = np.arange(slates.shape[1]) >= there
        return np.logical_and.accumulate(np.where(ended, slates == PADDING, good), axis=1)

    def _possible_alone(self, slate: list[int]) -> Bools:
        """Return the same for one user, in a fifth of the time that arrays of one row take."""
        mask = [True] * self.num_candidates if self.mask is None else self.mask[0].tolist()
        there, good, taken = sum(mask), True, set[int]()
        possible = []
        for place, number in enumerate(slate):
            fits = 0 <= number < self.num_candidates and mask[number] and number not in taken
            good = good and (fits if place < there else number == PADDING)
            taken.add(number)
            possible.append(good)
        return np.array([possible])
