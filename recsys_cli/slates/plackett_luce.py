"""The Plackett-Luce distribution: slates drawn document by document, each by a softmax over the candidates left.

`P(a_1, ..., a_k) = prod_j exp(s[a_j]) / sum(exp(s[i]) for i not in a_1..a_(j-1))` (Plackett 1975, Luce 1959).
Candidates are a set: moving a candidate moves its probability with it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from recsys_cli.slates.counting import count_slates
from recsys_cli.slates.enumeration import all_slates

EXACT_PREFIXES = 32  # beginnings of a slate up to which expectations are enumerated


class PlackettLuce:
    """A batch of distributions over ordered slates without replacement."""

    def __init__(
        self,
        scores: Tensor,
        slate_size: int,
        generator: torch.Generator | None = None,
        mask: Tensor | None = None,
    ) -> None:
        """Take the scores.

        Args:
            scores: log-weights of the candidates, `[B, C]`, finite.
            slate_size: k, from 1 to C.
            generator: random stream on the CPU, of draws and of estimates; torch's own if None.
            mask: which candidates are present, `[B, C]` bool; None: all. A slate with fewer than k is padded with -1.

        Raises:
            ValueError: a slate of that size cannot be drawn.
        """
        if not 1 <= slate_size <= scores.shape[-1]:
            raise ValueError(f"slate_size={slate_size} must lie in 1..{scores.shape[-1]}")
        self.scores = scores if mask is None else scores.masked_fill(~mask, -torch.inf)
        self.slate_size, self.generator, self.mask = slate_size, generator, mask

    def sample(self, noise: Tensor | None = None) -> Tensor:
        """Draw slates `[B, k]` (Gumbel top-k: Yellott 1977, Kool et al. 2019).

        Args:
            noise: independent standard exponential numbers `[B, C]`; of the generator if None.
        """
        if noise is None:
            noise = torch.empty(self.scores.shape, dtype=self.scores.dtype).exponential_(generator=self.generator)
            noise = noise.to(self.scores.device)
        smallest = torch.finfo(self.scores.dtype).tiny
        return self._first(self.scores.detach() - noise.clamp_min(smallest).log())

    def mode(self) -> Tensor:
        """Return the most probable slates `[B, k]`: the highest scores, falling."""
        return self._first(self.scores)

    def _first(self, rank: Tensor) -> Tensor:
        best, slates = rank.topk(self.slate_size, dim=-1)
        return slates if self.mask is None else slates.masked_fill(best == -torch.inf, -1)

    def log_prob(self, slates: Tensor) -> Tensor:
        """Return the exact log-probabilities `[B]` of the slates `[B, k]` (int64)."""
        return self.position_log_prob(slates).sum(-1)

    def position_log_prob(self, slates: Tensor) -> Tensor:
        """Return the log-probabilities of each document given those before it, `[B, k]`."""
        conditional, taken = (of[:, 0] for of in self._conditionals(slates[:, None, :-1]))
        if self.mask is None:
            return conditional.gather(-1, slates[..., None])[..., 0]
        chosen = conditional.gather(-1, slates.clamp_min(0)[..., None])[..., 0]
        ended = taken.all(-1)
        return chosen.masked_fill(ended, 0).masked_fill((slates < 0) != ended, -torch.inf)

    def entropy(self) -> Tensor:
        """Return the entropies `[B]`.

        Exact while there are at most `EXACT_PREFIXES` beginnings of k - 1 documents; else an unbiased estimate, with an
        unbiased gradient, from one slate drawn: the entropies of each document given those before it, which need no
        sampling, are summed along the slate.
        """
        prefixes = self._prefixes()
        conditional, taken = self._conditionals(prefixes)
        each = -(conditional.exp() * conditional.masked_fill(taken, 0)).sum(-1)
        candidates, places = self.scores.shape[-1], range(self.slate_size)
        # Any constant leaves the estimate unbiased; the entropy's bound makes its gradient's variance small.
        bound = each.new_tensor([math.log(candidates - place) for place in places])
        return self._mean_over(prefixes, conditional, each, bound)

    def kl(self, other: PlackettLuce) -> Tensor:
        """Return the divergences `KL(self | other)` `[B]`; exact or estimated as the entropy is."""
        prefixes = self._prefixes()
        conditional, taken = self._conditionals(prefixes)
        ratio = (conditional - other._conditionals(prefixes)[0]).masked_fill(taken, 0)
        each = (conditional.exp() * ratio).sum(-1)
        return self._mean_over(prefixes, conditional, each, torch.zeros_like(each[0, 0]))

    def _enumerates(self) -> bool:
        full = self.mask is None or bool((self.mask.sum(-1) >= self.slate_size - 1).all())
        return full and count_slates(self.scores.shape[-1], self.slate_size - 1, ordered=True) <= EXACT_PREFIXES

    def _prefixes(self) -> Tensor:
        """Return all beginnings of k - 1 documents `[1, M, k - 1]`, or one drawn for each row `[B, 1, k - 1]`."""
        if not self._enumerates():
            return self.sample()[:, None, :-1]
        if self.slate_size == 1:
            return torch.empty((1, 1, 0), dtype=torch.int64, device=self.scores.device)
        return all_slates(self.scores.shape[-1], self.slate_size - 1, True, self.scores.device)[None]

    def _conditionals(self, prefixes: Tensor) -> tuple[Tensor, Tensor]:
        """Return each position's log-probabilities given the documents before it, and which are taken `[.., M, k, C]`.

        Args:
            prefixes: the first k - 1 documents, `[B or 1, M, k - 1]`.
        """
        shape = (*prefixes.shape[:2], self.slate_size, self.scores.shape[-1])
        shown = torch.zeros(shape, dtype=torch.bool, device=prefixes.device)
        if self.mask is None:
            shown[..., 1:, :].scatter_(-1, prefixes[..., None], True)
            taken = shown.cumsum(-2) > 0
            return self.scores[:, None, None].masked_fill(taken, -torch.inf).log_softmax(-1), taken
        # Padding comes when all candidates are taken: taking the first one again changes nothing.
        shown[..., 1:, :].scatter_(-1, prefixes.clamp_min(0)[..., None], True)
        taken = (shown.cumsum(-2) > 0) | ~self.mask[:, None, None]
        left = self.scores[:, None, None].masked_fill(taken, -torch.inf)
        return left.masked_fill(taken.all(-1, keepdim=True), 0.0).log_softmax(-1), taken

    def _mean_over(self, prefixes: Tensor, conditional: Tensor, each: Tensor, baseline: Tensor) -> Tensor:
        """Return the expectation `[B]` of the sum over positions of `each` [B, M, k], a function of the prefixes."""
        index = prefixes.clamp_min(0)[..., None].expand(*conditional.shape[:2], -1, 1)
        steps = conditional[..., :-1, :].gather(-1, index)[..., 0]
        log_p = torch.cat([torch.zeros_like(each[..., :1]), steps.cumsum(-1)], dim=-1)  # of what is before each place
        if self._enumerates():
            return (log_p[..., -1].exp() * each.sum(-1)).sum(-1)
        # The second term is zero; its gradient is that of the probability with which the prefix was drawn.
        score = (log_p - log_p.detach()) * (each.detach() - baseline)
        return (each + score).sum((-1, -2))
