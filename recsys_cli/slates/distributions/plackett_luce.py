"""Slates drawn by scores, document by document without replacement."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys_cli.slates.distributions.base import PADDING, Bools, Floats, Ints, SlateDistribution
from recsys_cli.slates.plackett_luce import PlackettLuce
from recsys_cli.slates.seeded import Seeds, exponentials

CHUNK = 2**16  # numbers held at once by the marginals, so that they stay in the cache

# Nodes of the trapezoidal rule for a Gumbel density; what it leaves out, and its error at this step, are below 1e-12.
NODES = np.arange(-30.0, 4.0, 0.25)


class PlackettLuceSlates(SlateDistribution):
    """`slates.plackett_luce.PlackettLuce` over scores divided by a temperature.

    Draws and log-probabilities are computed in the dtype of the scores, marginals in float64.
    """

    kind = "Plackett-Luce"

    def __init__(
        self, scores: Tensor | NDArray[Any], slate_size: int, temperature: float = 1.0, mask: NDArray[Any] | None = None
    ) -> None:
        """Take the scores `[N, C]`, finite, in any float dtype and on any device."""
        scores = torch.as_tensor(scores).detach()
        super().__init__(len(scores), scores.shape[1], slate_size, mask)
        self.scores = scores if temperature == 1 else scores / temperature
        # A slate is longer than the candidates are many: more that are never there.
        missing = max(slate_size - self.num_candidates, 0)
        wide, there = self.scores, self.mask
        if missing:
            wide = torch.nn.functional.pad(wide, (0, missing))
            there = np.pad(there, ((0, 0), (0, missing)))  # type: ignore[arg-type]
        self._law = PlackettLuce(
            wide, slate_size, mask=None if there is None else torch.as_tensor(there, device=wide.device)
        )

    def sample(self, rng: np.random.Generator) -> Ints:
        """Draw slates; takes one standard exponential number of `rng` per candidate, in the dtype of the scores."""
        return self._drawn(rng).cpu().numpy()

    def sample_seeded(self, seeds: Seeds) -> Ints:
        """See `SlateDistribution.sample_seeded`; a candidate's noise goes by its number."""
        noise = exponentials(seeds, self._law.scores.shape[1])
        return self._law.sample(torch.as_tensor(noise, device=self.scores.device)).cpu().numpy()

    def draw(self, rng: np.random.Generator) -> tuple[Ints, Floats]:
        """See `SlateDistribution.draw`; drawn slates need no check that they are possible."""
        drawn = self._drawn(rng)
        return drawn.cpu().numpy(), self._law.log_prob(drawn).cpu().double().numpy()

    def _drawn(self, rng: np.random.Generator) -> Tensor:
        shape, device = self._law.scores.shape, self.scores.device
        dtype = np.float64 if self.scores.dtype == torch.float64 else np.float32
        return self._law.sample(torch.as_tensor(rng.standard_exponential(shape, dtype=dtype), device=device))

    def mode(self) -> Ints:
        """Return the highest scores, falling."""
        return self._law.mode().cpu().numpy()

    def log_prob(self, slates: NDArray[Any]) -> Floats:
        """See `SlateDistribution.log_prob`."""
        given, possible = self._given(slates)
        return np.where(possible[:, -1], self._law.log_prob(given).cpu().double().numpy(), -np.inf)

    def prefix_log_prob(self, slates: NDArray[Any]) -> Floats:
        """See `SlateDistribution.prefix_log_prob`."""
        given, possible = self._given(slates)
        each = self._law.position_log_prob(given).cpu().double().numpy()
        return np.where(possible, np.where(possible, each, 0.0).cumsum(1), -np.inf)

    def _given(self, slates: NDArray[Any]) -> tuple[Tensor, Bools]:
        """Return the slates as a tensor, numbers out of range replaced, and which of their beginnings are possible."""
        inside = np.clip(slates, 0 if self.mask is None else PADDING, self.num_candidates - 1).astype(np.int64)
        return torch.as_tensor(inside, device=self.scores.device), self.possible(slates)

    def position_probs(self) -> Floats:
        """Return the probability that a candidate is at a position, `[N, k, C]`; exact to about 1e-12.

        In the exponential race that draws the slate, candidate i arrives at a time with rate `exp(score_i)`, and is at
        position j if j others arrived before. The logarithm of its time has a Gumbel density around `-score_i`, over
        which the number of the others is integrated; nothing is subtracted, so scores may be arbitrarily sharp. Takes
        time proportional to C^2 k.
        """
        scores = self.scores.cpu().double().numpy()
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
        at = torch.as_tensor(rows, device=self.scores.device)
        return PlackettLuceSlates(self.scores[at], self.slate_size, mask=self.mask_of(rows))
