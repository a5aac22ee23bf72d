"""Indices of contextual bandits: from the posterior of each item's value to its rank."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Lazy = Callable[[], Floats]


class Index(Protocol):
    """Turns Gaussian posteriors of values into the numbers by which items are ranked."""

    @property
    def draws(self) -> bool:
        """Whether the index is random."""

    def joint(self, x: Floats, weights: Floats, factor: Lazy, rng: np.random.Generator) -> Floats:
        """Return the index `[n, m]` of items whose values `x . w` share the weights `w ~ N(weights, factor factor')`.

        Args:
            x: features, `[n, m, P]`.
            weights: `[P]`.
            factor: gives `[P, P]`.
            rng: random stream; each of the n users gets their own draw.
        """

    def separate(self, mean: Floats, deviation: Lazy, rng: np.random.Generator) -> Floats:
        """Return the index of items with independent values; mean, deviation and result have one shape."""


@dataclass(frozen=True)
class Greedy:
    """The posterior mean."""

    draws = False

    def joint(self, x: Floats, weights: Floats, factor: Lazy, rng: np.random.Generator) -> Floats:
        """See `Index.joint`."""
        return x @ weights

    def separate(self, mean: Floats, deviation: Lazy, rng: np.random.Generator) -> Floats:
        """See `Index.separate`."""
        return mean


@dataclass(frozen=True)
class UpperBound:
    """Mean plus `width` standard deviations (LinUCB: Li et al. 2010, arXiv 1003.0146, algorithm 1)."""

    width: float
    draws = False

    def joint(self, x: Floats, weights: Floats, factor: Lazy, rng: np.random.Generator) -> Floats:
        """See `Index.joint`."""
        along = x @ factor()
        return x @ weights + self.width * np.sqrt(np.einsum("nmp,nmp->nm", along, along))

    def separate(self, mean: Floats, deviation: Lazy, rng: np.random.Generator) -> Floats:
        """See `Index.separate`."""
        return mean + self.width * deviation()


@dataclass(frozen=True)
class PosteriorSample:
    """A draw from the posterior, its deviations times `scale` (Agrawal & Goyal 2013, arXiv 1209.3352, algorithm 1)."""

    scale: float
    draws = True

    def joint(self, x: Floats, weights: Floats, factor: Lazy, rng: np.random.Generator) -> Floats:
        """See `Index.joint`."""
        drawn = weights + self.scale * (rng.standard_normal((len(x), len(weights))) @ factor().T)
        return np.einsum("nmp,np->nm", x, drawn, optimize=True)

    def separate(self, mean: Floats, deviation: Lazy, rng: np.random.Generator) -> Floats:
        """See `Index.separate`."""
        return mean + self.scale * deviation() * rng.standard_normal(mean.shape)
