"""Indices of n-armed bandits: from an arm's pulls and summed outcomes to its rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BISECTIONS = 26  # of the interval 0..1: to 1e-8


class ArmIndex(Protocol):
    """Ranks arms; pulls may be fractional if a prior counts as some."""

    @property
    def draws(self) -> bool:
        """Whether the index is random."""

    def __call__(self, pulls: Floats, sums: Floats, noise: float, rng: np.random.Generator) -> Floats:
        """Return the index, `[n, K]`.

        Args:
            pulls: of every arm, `[n, K]`.
            sums: of outcomes, `[n, K]`, in units of the largest outcome.
            noise: standard deviation of an outcome around its arm's mean, in the same unit.
            rng: random stream of the draws.
        """


def means(pulls: Floats, sums: Floats, unknown: float) -> Floats:
    """Return mean outcomes, `unknown` for arms never pulled."""
    return np.where(pulls > 0, sums / np.where(pulls > 0, pulls, 1), unknown)


@dataclass(frozen=True)
class Mean:
    """The mean outcome; arms never pulled come first, or last if not exploring."""

    unknown: float = np.inf
    draws = False

    def __call__(self, pulls: Floats, sums: Floats, noise: float, rng: np.random.Generator) -> Floats:
        """See `ArmIndex`."""
        return means(pulls, sums, self.unknown)


@dataclass(frozen=True)
class UCB1:
    """Mean plus `sqrt(alpha ln t / pulls)` after t pulls in all (Auer et al. 2002, figure 1: alpha 2)."""

    alpha: float
    draws = False

    def __call__(self, pulls: Floats, sums: Floats, noise: float, rng: np.random.Generator) -> Floats:
        """See `ArmIndex`."""
        log_t = np.log(np.maximum(pulls.sum(-1, keepdims=True), 1))
        return means(pulls, sums, np.inf) + np.sqrt(self.alpha * log_t / np.where(pulls > 0, pulls, 1))


@dataclass(frozen=True)
class KLUCB:
    """The greatest q with `pulls kl(mean, q) <= ln t + c ln ln t`, for outcomes in 0..1.

    Garivier & Cappé 2011, arXiv 1102.2490, algorithm 1; kl is the divergence of Bernoulli variables.
    """

    c: float
    draws = False

    def __call__(self, pulls: Floats, sums: Floats, noise: float, rng: np.random.Generator) -> Floats:
        """See `ArmIndex`."""
        mean = np.clip(means(pulls, sums, 0.0), 0.0, 1.0)
        log_t = np.log(np.maximum(pulls.sum(-1, keepdims=True), 1))
        limit = log_t + self.c * np.log(np.maximum(log_t, 1))
        low, high = mean, np.ones_like(mean)
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            inside = pulls * bernoulli_divergence(mean, middle) <= limit
            low, high = np.where(inside, middle, low), np.where(inside, high, middle)
        return np.where(pulls > 0, low, np.inf)


@dataclass(frozen=True)
class Thompson:
    """A draw from the posterior of each arm's mean (Agrawal & Goyal 2013, arXiv 1209.3353, algorithms 1 and 2).

    `beta`: uniform prior, outcomes in 0..1. `gaussian`: the prior counts as one outcome of 0 (in units of the noise).
    """

    posterior: Literal["beta", "gaussian"]
    draws = True

    def __call__(self, pulls: Floats, sums: Floats, noise: float, rng: np.random.Generator) -> Floats:
        """See `ArmIndex`."""
        if self.posterior == "beta":
            return rng.beta(1 + sums, 1 + np.maximum(pulls - sums, 0))
        return sums / (1 + pulls) + noise / np.sqrt(1 + pulls) * rng.standard_normal(pulls.shape)


def bernoulli_divergence(p: Floats, q: Floats) -> Floats:
    """Return the Kullback-Leibler divergence of Bernoulli(p) from Bernoulli(q)."""
    tiny = 1e-15
    p, q = np.clip(p, tiny, 1 - tiny), np.clip(q, tiny, 1 - tiny)
    return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
