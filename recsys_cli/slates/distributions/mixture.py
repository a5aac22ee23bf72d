"""Mixtures of distributions: a router over policies, of which epsilon-greedy is a case."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.slates.distributions.base import Floats, Ints, SlateDistribution
from recsys_cli.slates.distributions.simple import Uniform
from recsys_cli.slates.seeded import Seeds, bits, uniforms

ROUNDING = 1e-8  # of the sum of weights


class Mixture(SlateDistribution):
    """One of several distributions, drawn for each user by weights.

    Probabilities of whole prefixes of a slate are mixed; a position's conditional probability follows from these and is
    not a mixture of the parts'. A part is sampled (`sample_rows`) only for the users it was drawn for.
    """

    def __init__(self, weights: Sequence[float] | NDArray[Any], parts: Sequence[SlateDistribution]) -> None:
        """Take P parts over the same users and candidates.

        Args:
            weights: probabilities of the parts, `[P]`, or each user's own, `[N, P]`.
            parts: what is mixed.

        Raises:
            ValueError: weights that are not probabilities, or parts of different sizes.
        """
        first, self.parts = parts[0], list(parts)
        super().__init__(first.num_users, first.num_candidates, first.slate_size, first.mask)
        self.weights = np.asarray(weights, np.float64)
        if self.weights.shape not in {(len(parts),), (self.num_users, len(parts))}:
            raise ValueError(f"weights of shape {self.weights.shape} for {len(parts)} parts")
        # In Python's numbers: mixtures of two are built at every step of a training.
        rows = np.atleast_2d(self.weights).tolist()
        if any(min(row) < 0 or abs(sum(row) - 1) > ROUNDING for row in rows):
            raise ValueError("a mixture's weights must be probabilities")
        sizes = {(part.num_users, part.num_candidates, part.slate_size) for part in parts}
        if len(sizes) > 1:
            raise ValueError(f"parts of different sizes: {sorted(sizes)}")

    @property
    def kind(self) -> str:
        """Those of the parts."""
        return " or ".join(part.kind for part in self.parts)

    @property
    def exact(self) -> bool:
        """Whether those of all parts are, but for parts of weight 0."""
        return all(part.exact for _, part in self._active())

    def sample(self, rng: np.random.Generator) -> Ints:
        """Draw a part for each user, then slates, part by part."""
        which = self._which(rng.random(self.num_users))
        slates = np.empty((self.num_users, self.slate_size), np.int64)
        for number, part in enumerate(self.parts):
            rows = np.flatnonzero(which == number)
            if len(rows) == self.num_users:
                return part.sample(rng)
            if len(rows):
                slates[rows] = part.sample_rows(rng, rows)
        return slates

    def sample_seeded(self, seeds: Seeds) -> Ints:
        """Draw a part for each user, then slates by seeds that follow from the users'."""
        numbers = bits(seeds, 1 + len(self.parts))
        which = self._which(uniforms(numbers[:, 0]))
        slates: Ints | None = None
        for number in np.unique(which).tolist() if len(which) > 1 else which.tolist():
            # For all users: what a part has computed for them is wanted again for probabilities.
            drawn = self.parts[number].sample_seeded(numbers[:, 1 + number])
            slates = drawn if slates is None else np.where((which == number)[:, None], drawn, slates)
        return np.empty((0, self.slate_size), np.int64) if slates is None else slates

    def _which(self, drawn: Floats) -> NDArray[np.int64]:
        """Return the parts `[N]` that numbers from 0 to 1 stand for."""
        if self.weights.ndim == 1:
            return np.searchsorted(list(accumulate(self.weights.tolist()))[:-1], drawn, side="right")
        return np.asarray((drawn[:, None] >= self.weights.cumsum(-1)[:, :-1]).sum(1))

    def mode(self) -> Ints:
        """Return the most probable among the parts' modes.

        This is the mode if all parts but one are uniform; in other mixtures another slate may be more probable.
        """
        modes = [part.mode() for _, part in self._active()]
        best = np.argmax([self.log_prob(slates) for slates in modes], axis=0)
        return np.stack(modes)[best, np.arange(self.num_users)]

    def log_prob(self, slates: NDArray[Any]) -> Floats:
        """See `SlateDistribution.log_prob`."""
        return self._log_mean(lambda part: part.log_prob(slates)[:, None])[:, 0]

    def prefix_log_prob(self, slates: NDArray[Any]) -> Floats:
        """See `SlateDistribution.prefix_log_prob`."""
        return self._log_mean(lambda part: part.prefix_log_prob(slates))

    def _log_mean(self, of: Callable[[SlateDistribution], Floats]) -> Floats:
        if self.weights.ndim == 1:
            parts = zip(self.weights.tolist(), self.parts, strict=True)
            return reduce(np.logaddexp, [math.log(weight) + of(part) for weight, part in parts if weight])
        with np.errstate(divide="ignore"):
            terms = [np.log(weight)[:, None] + of(part) for weight, part in self._active()]
        return np.asarray(np.logaddexp.reduce(terms, axis=0))

    def position_probs(self) -> Floats:
        """See `SlateDistribution.position_probs`."""
        return np.asarray(sum(weight[:, None, None] * part.position_probs() for weight, part in self._active()))

    def standard_error(self, slates: NDArray[Any]) -> Floats:
        """See `SlateDistribution.standard_error`; parts are estimated from draws of their own."""
        squares = (np.square(weight * part.standard_error(slates)) for weight, part in self._active())
        return np.sqrt(np.asarray(sum(squares)))

    def take(self, rows: NDArray[Any]) -> Mixture:
        """See `SlateDistribution.take`."""
        weights = self.weights if self.weights.ndim == 1 else self.weights[rows]
        return Mixture(weights, [part.take(rows) for part in self.parts])

    def _active(self) -> list[tuple[Floats, SlateDistribution]]:
        """Return the weights `[N]` and the parts, without those of weight 0."""
        every = np.broadcast_to(self.weights, (self.num_users, len(self.parts)))
        return [(weight, part) for weight, part in zip(every.T, self.parts, strict=True) if weight.any()]


def epsilon_mixture(epsilon: float | Floats, greedy: SlateDistribution) -> Mixture:
    """Mix a uniform slate, with probability epsilon or with each user's own `[N]`, into a distribution."""
    sizes = (greedy.num_users, greedy.num_candidates, greedy.slate_size)
    weights = np.stack([epsilon, 1 - epsilon], axis=-1) if isinstance(epsilon, np.ndarray) else [epsilon, 1 - epsilon]
    return Mixture(weights, [Uniform(*sizes, greedy.mask), greedy])
