"""Slates drawn by scores, document by document without replacement."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys_cli.slates.distributions.base import PADDING, Bools, Floats, Ints, SlateDistribution
from recsys_cli.slates.plackett_luce import PlackettLuce
from recsys_cli.slates.ranking import greatest
from recsys_cli.slates.seeded import Seeds, exponentials

CHUNK = 2**16  # numbers held at once by the marginals, so that they stay in the cache

# Nodes of the trapezoidal rule for a Gumbel density; what it leaves out, and its error at this step, are below 1e-12.
NODES = np.arange(-30.0, 4.0, 0.25)


class PlackettLuceSlates(SlateDistribution):
    """`slates.plackett_luce.PlackettLuce` over scores divided by a temperature.

    Tensors stay with torch, on their device; arrays with NumPy, which takes less time for few users. Draws are computed
    in the dtype of the scores, and so are log-probabilities of tensors; those of arrays, and marginals, in float64.
    """

    kind = "Plackett-Luce"

    def __init__(
        self, scores: Tensor | NDArray[Any], slate_size: int, temperature: float = 1.0, mask: NDArray[Any] | None = None
    ) -> None:
        """Take the scores `[N, C]`, finite, in any float dtype and on any device."""
        super().__init__(len(scores), scores.shape[1], slate_size, mask)
        scores = scores if temperature == 1 else scores / temperature
        of = slate_size, self.mask, max(slate_size - self.num_candidates, 0)
        self._law = _OfTensor(scores, *of) if isinstance(scores, Tensor) else _OfArray(scores, *of)

    @property
    def scores(self) -> Floats:
        """The scores over the temperature, `[N, C]`."""
        return self._law.array()

    def sample(self, rng: np.random.Generator) -> Ints:
        """Draw slates; takes one standard exponential number of `rng` per candidate, in the dtype of the scores."""
        return self._law.sample(self._noise(rng))

    def sample_seeded(self, seeds: Seeds) -> Ints:
        """See `SlateDistribution.sample_seeded`; a candidate's noise goes by its number."""
        return self._law.sample(exponentials(seeds, self._law.width))

    def draw(self, rng: np.random.Generator) -> tuple[Ints, Floats]:
        """See `SlateDistribution.draw`; drawn slates need no check that they are possible."""
        drawn = self._law.sample(self._noise(rng))
        return drawn, self._law.position_log_prob(drawn).sum(1)

    def _noise(self, rng: np.random.Generator) -> NDArray[Any]:
        return rng.standard_exponential((self.num_users, self._law.width), dtype=self._law.dtype)

    def mode(self) -> Ints:
        """Return the highest scores, falling."""
        return self._law.mode()

    def log_prob(self, slates: NDArray[Any]) -> Floats:
        """See `SlateDistribution.log_prob`."""
        possible = self.possible(slates)[:, -1]
        return np.where(possible, self._law.position_log_prob(self._inside(slates)).sum(1), -np.inf)

    def prefix_log_prob(self, slates: NDArray[Any]) -> Floats:
        """See `SlateDistribution.prefix_log_prob`."""
        possible, each = self.possible(slates), self._law.position_log_prob(self._inside(slates))
        return np.where(possible, np.where(possible, each, 0.0).cumsum(1), -np.inf)

    def _inside(self, slates: NDArray[Any]) -> Ints:
        """Return the slates with numbers out of range replaced."""
        return np.clip(slates, 0 if self.mask is None else PADDING, self.num_candidates - 1).astype(np.int64)

    def position_probs(self) -> Floats:
        """Return the probability that a candidate is at a position, `[N, k, C]`; exact to about 1e-12.

        In the exponential race that draws the slate, candidate i arrives at a time with rate `exp(score_i)`, and is at
        position j if j others arrived before. The logarithm of its time has a Gumbel density around `-score_i`, over
        which the number of the others is integrated; nothing is subtracted, so scores may be arbitrarily sharp. Takes
        time proportional to C^2 k.
        """
        scores = self.scores
        if self.mask is not None:
            scores = np.where(self.mask, scores, -np.inf)
        rows = max(CHUNK // (self.num_candidates * len(NODES) * self.slate_size), 1)
        parts = [self._marginals(scores[at : at + rows]) for at in range(0, len(scores), rows)]
        return np.concatenate(parts) if parts else np.empty((0, self.slate_size, self.num_candidates))

    def _marginals(self, scores: Floats) -> Floats:
        k, real = self.slate_size, np.isfinite(scores)
        around = np.where(real, scores, 0.0)  # each candidate's nodes lie around its own score
        # came[m]: probability that m others arrived, [n, C, G] each.
        came = np.zeros((k, *scores.shape, len(NODES)))
        came[0] = 1.0
        with np.errstate(over="ignore"):
            for other in range(scores.shape[1]):
                rate = np.exp(scores[:, other, None] - around)
                rate[:, other] = 0.0
                early = -np.expm1(-rate[:, :, None] * np.exp(NODES))
                late = 1 - early
                for m in range(k - 1, 0, -1):
                    came[m] = came[m] * late + came[m - 1] * early
                came[0] *= late
        density = np.exp(NODES - np.exp(NODES))
        at = np.moveaxis(came @ density, 0, 1) * (NODES[1] - NODES[0])
        return np.where(real[:, None], np.minimum(at, 1.0), 0.0)

    def take(self, rows: NDArray[Any]) -> PlackettLuceSlates:
        """See `SlateDistribution.take`."""
        return PlackettLuceSlates(self._law.rows(rows), self.slate_size, mask=self.mask_of(rows))


class _OfTensor:
    """By torch."""

    def __init__(self, scores: Tensor, slate_size: int, mask: Bools | None, missing: int) -> None:
        """Take the scores, and by how many a slate is longer than the candidates are many: so many are never there."""
        self.scores = wide = scores.detach()
        if missing:
            wide = torch.nn.functional.pad(wide, (0, missing))
        there = None if mask is None else torch.as_tensor(np.pad(mask, ((0, 0), (0, missing))), device=wide.device)
        self.law = PlackettLuce(wide, slate_size, mask=there)
        self.width, self.dtype = wide.shape[1], np.float64 if wide.dtype == torch.float64 else np.float32

    def sample(self, noise: NDArray[Any]) -> Ints:
        return self.law.sample(self._tensor(noise)).cpu().numpy()

    def mode(self) -> Ints:
        return self.law.mode().cpu().numpy()

    def position_log_prob(self, slates: Ints) -> Floats:
        return self.law.position_log_prob(self._tensor(slates)).cpu().double().numpy()

    def array(self) -> Floats:
        return self.scores.cpu().double().numpy()

    def rows(self, rows: NDArray[Any]) -> Tensor:
        return self.scores[self._tensor(rows)]

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        return torch.as_tensor(values, device=self.scores.device)


class _OfArray:
    """By NumPy."""

    def __init__(self, scores: NDArray[Any], slate_size: int, mask: Bools | None, missing: int) -> None:
        """Take the scores."""
        self.scores, self.slate_size, self.masked = scores, slate_size, mask is not None
        self.ranks = scores if mask is None else np.where(mask, scores, -np.inf)
        if missing:
            self.ranks = np.pad(self.ranks, ((0, 0), (0, missing)), constant_values=-np.inf)
        self.width, self.dtype = self.ranks.shape[1], np.float32 if scores.dtype == np.float32 else np.float64

    def sample(self, noise: NDArray[Any]) -> Ints:
        return self._first(self.ranks - np.log(np.maximum(noise, np.finfo(noise.dtype).tiny)))

    def mode(self) -> Ints:
        return self._first(self.ranks)

    def _first(self, ranks: NDArray[Any]) -> Ints:
        slates = greatest(ranks, self.slate_size)
        if not self.masked:
            return slates
        return np.where(np.isneginf(np.take_along_axis(ranks, slates, axis=1)), PADDING, slates)

    def position_log_prob(self, slates: Ints) -> Floats:
        rows, out = np.arange(len(slates)), np.empty(slates.shape)
        left = self.ranks.astype(np.float64)
        for place in range(slates.shape[1]):
            number = slates[:, place]
            largest = left.max(1)
            ended = np.isneginf(largest)
            largest[ended] = 0.0
            total = np.exp(left - largest[:, None]).sum(1)
            total[ended] = 1.0
            out[:, place] = left[rows, number] - largest - np.log(total)
            if self.masked:
                out[:, place] = np.where(ended, 0.0, out[:, place])
                out[(number < 0) != ended, place] = -np.inf
            left[rows, number] = -np.inf
        return out

    def array(self) -> Floats:
        return self.scores.astype(np.float64)

    def rows(self, rows: NDArray[Any]) -> NDArray[Any]:
        return self.scores[rows]
