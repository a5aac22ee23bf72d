"""A softmax over all slates."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys_cli.slates.distributions.base import PADDING, Bools, Floats, Ints, SlateDistribution
from recsys_cli.slates.enumeration import filled_up
from recsys_cli.slates.seeded import Seeds, exponentials


class EnumeratedSoftmax(SlateDistribution):
    """A softmax over M slates, whose leading documents are enumerated and determine the others.

    Drawn in the dtype of the weights.
    """

    kind = "softmax over slates"

    def __init__(
        self,
        log_weights: Tensor | NDArray[Any],
        slates: NDArray[Any],
        num_candidates: int,
        slate_size: int,
        mask: NDArray[Any] | None = None,
    ) -> None:
        """Take the weights.

        Args:
            log_weights: `[N, M]`, finite, in any float dtype and on any device.
            slates: leading documents of each slate, `[M, a]`; the candidates left follow in rising order.
            num_candidates: C.
            slate_size: k, at least a.
            mask: which candidates are present, `[N, C]`. Slates with others are left out; if a user has fewer than a
                candidates, only slates that hold all of them count.
        """
        weights = torch.as_tensor(log_weights).detach()
        super().__init__(len(weights), num_candidates, slate_size, mask)
        self._weights = weights
        self._listed = np.asarray(slates, np.int64)
        self._table = self._listed  # [M, a], or [N, M, a] if users differ
        if self.mask is not None:
            self._table, there = _tables(self._listed, self.mask)
            self._weights = self._weights.masked_fill(torch.as_tensor(~there, device=weights.device), -torch.inf)
        self._log_p = self._weights.log_softmax(-1)

    def sample(self, rng: np.random.Generator) -> Ints:
        """Draw slates by an exponential race: the first to arrive is drawn by the rates."""
        dtype = np.float64 if self._log_p.dtype == torch.float64 else np.float32
        return self._first(rng.standard_exponential(self._log_p.shape, dtype=dtype))

    def sample_seeded(self, seeds: Seeds) -> Ints:
        """See `SlateDistribution.sample_seeded`."""
        return self._first(exponentials(seeds, self._log_p.shape[1]))

    def _first(self, noise: NDArray[Any]) -> Ints:
        times = torch.as_tensor(noise, device=self._log_p.device)
        return self._whole((self._log_p - times.clamp_min(torch.finfo(times.dtype).tiny).log()).argmax(-1))

    def mode(self) -> Ints:
        """Return the slates of greatest weight."""
        return self._whole(self._weights.argmax(-1))

    def _whole(self, chosen: Tensor) -> Ints:
        number = chosen.cpu().numpy()
        leading = self._table[number] if self._table.ndim == 2 else self._table[np.arange(len(number)), number]
        return filled_up(leading, self.num_candidates, self.slate_size, self.mask)

    def prefix_log_prob(self, slates: NDArray[Any]) -> Floats:
        """See `SlateDistribution.prefix_log_prob`."""
        log_p, leading = self._log_p.cpu().double().numpy(), self._table.shape[-1]
        slates, out = np.asarray(slates), np.empty(np.shape(slates))
        same = np.ones(log_p.shape, bool)
        for place in range(leading):
            same &= self._table[..., place] == slates[:, place, None]
            out[:, place] = np.logaddexp.reduce(np.where(same, log_p, -np.inf), axis=1)
        rest = filled_up(
            np.clip(slates[:, :leading], PADDING, self.num_candidates - 1),
            self.num_candidates,
            self.slate_size,
            self.mask,
        )[:, leading:]
        follows = np.logical_and.accumulate(slates[:, leading:] == rest, axis=1)
        out[:, leading:] = np.where(follows, out[:, leading - 1, None], -np.inf)
        return out

    def position_probs(self) -> Floats:
        """See `SlateDistribution.position_probs`."""
        p, numbers = self._log_p.cpu().double().exp().numpy(), np.arange(self.num_candidates)
        if self._table.ndim == 2:
            whole = filled_up(self._table, self.num_candidates, self.slate_size, None)
            return np.tensordot(p, (whole[:, :, None] == numbers).astype(np.float64), 1)
        out = np.empty((self.num_users, self.slate_size, self.num_candidates))
        for user, table in enumerate(self._table):
            mask = None if self.mask is None else np.broadcast_to(self.mask[user], (len(table), self.num_candidates))
            whole = filled_up(table, self.num_candidates, self.slate_size, mask)
            out[user] = np.tensordot(p[user], (whole[:, :, None] == numbers).astype(np.float64), 1)
        return out

    def take(self, rows: NDArray[Any]) -> EnumeratedSoftmax:
        """See `SlateDistribution.take`."""
        weights = self._weights[torch.as_tensor(rows, device=self._weights.device)]
        mask = self.mask_of(rows)
        return EnumeratedSoftmax(weights, self._listed, self.num_candidates, self.slate_size, mask=mask)


def _tables(slates: Ints, mask: Bools) -> tuple[Ints, Bools]:
    """Return each user's leading documents of every slate, `[N, M, a]`, and which slates count, `[N, M]`."""
    size, there = slates.shape[1], mask[:, slates]
    fewest = np.minimum(mask.sum(1), size)
    counts = there.sum(-1) == fewest[:, None]
    order = np.argsort(~there, axis=-1, kind="stable")
    tables = np.take_along_axis(np.broadcast_to(slates, there.shape), order, axis=-1)
    tables = np.where(np.arange(size) < fewest[:, None, None], tables, PADDING)
    for user in np.flatnonzero(fewest < size):  # several listed slates have become one there
        rows = np.flatnonzero(counts[user])
        _, first = np.unique(tables[user, rows], axis=0, return_index=True)
        counts[user] = False
        counts[user, rows[first]] = True
    return tables, counts
