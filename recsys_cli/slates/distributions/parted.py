"""Users in parts, each part with a distribution of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.slates.distributions.base import Floats, Ints, SlateDistribution
from recsys_cli.slates.seeded import Seeds

Part = tuple[Ints, SlateDistribution]
"""Numbers of users, and the distribution of these."""


class Parted(SlateDistribution):
    """Every user is in one part."""

    def __init__(self, parts: Sequence[Part]) -> None:
        """Take the parts; together they have every user once."""
        first = parts[0][1]
        super().__init__(sum(len(rows) for rows, _ in parts), first.num_candidates, first.slate_size)
        self.parts = [part for part in parts if len(part[0])] or list(parts)
        masks = [law.mask for _, law in self.parts]
        if any(mask is not None for mask in masks):
            full = np.ones((self.num_users, self.num_candidates), bool)
            for (rows, _), mask in zip(self.parts, masks, strict=True):
                full[rows] = True if mask is None else mask
            self.mask = full

    @property
    def kind(self) -> str:
        """Those of the parts."""
        return " and ".join(dict.fromkeys(law.kind for _, law in self.parts))

    @property
    def exact(self) -> bool:
        """Whether all parts are exact."""
        return all(law.exact for _, law in self.parts)

    def _joined(self, ask: Callable[[Ints, SlateDistribution], Any]) -> NDArray[Any]:
        """Return every user's part of what the parts answer."""
        answers = [(rows, ask(rows, law)) for rows, law in self.parts]
        shape, dtype = answers[0][1].shape[1:], answers[0][1].dtype
        joined = np.empty((self.num_users, *shape), dtype)
        for rows, answer in answers:
            joined[rows] = answer
        return joined

    def sample(self, rng: np.random.Generator) -> Ints:
        """See `SlateDistribution.sample`."""
        return self._joined(lambda rows, law: np.asarray(law.sample(rng), np.int64))

    def sample_seeded(self, seeds: Seeds) -> Ints:
        """See `SlateDistribution.sample_seeded`."""
        return self._joined(lambda rows, law: law.sample_seeded(seeds[rows]))

    def mode(self) -> Ints:
        """See `SlateDistribution.mode`."""
        return self._joined(lambda rows, law: np.asarray(law.mode(), np.int64))

    def prefix_log_prob(self, slates: NDArray[Any]) -> Floats:
        """See `SlateDistribution.prefix_log_prob`."""
        return self._joined(lambda rows, law: law.prefix_log_prob(np.asarray(slates)[rows]))

    def log_prob(self, slates: NDArray[Any]) -> Floats:
        """See `SlateDistribution.log_prob`."""
        return self._joined(lambda rows, law: law.log_prob(np.asarray(slates)[rows]))

    def position_probs(self) -> Floats:
        """See `SlateDistribution.position_probs`."""
        return self._joined(lambda rows, law: law.position_probs())

    def standard_error(self, slates: NDArray[Any]) -> Floats:
        """See `SlateDistribution.standard_error`."""
        return self._joined(lambda rows, law: law.standard_error(np.asarray(slates)[rows]))

    def take(self, rows: NDArray[Any]) -> Parted:
        """See `SlateDistribution.take`."""
        part_of, place = np.empty(self.num_users, np.intp), np.empty(self.num_users, np.intp)
        for number, (own, _) in enumerate(self.parts):
            part_of[own], place[own] = number, np.arange(len(own))
        asked = [np.flatnonzero(part_of[rows] == number) for number in range(len(self.parts))]
        taken = zip(self.parts, asked, strict=True)
        return Parted([(at, law.take(place[np.asarray(rows)[at]])) for (_, law), at in taken])
