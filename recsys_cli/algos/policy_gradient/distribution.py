"""The Plackett-Luce distribution with RLlib's interface."""

from __future__ import annotations

from typing import Any, Self

import gymnasium
import torch
from ray.rllib.core.distribution.distribution import Distribution
from ray.rllib.utils.annotations import override
from torch import Tensor

from recsys_cli.slates.optimal import NEVER
from recsys_cli.slates.plackett_luce import PlackettLuce


class SlateActionDistribution(Distribution):
    """Slates `[B, k]` by the scores of the candidates `[B, C]`, RLlib's "logits"."""

    def __init__(self, slates: PlackettLuce, greedy: bool = False) -> None:
        """Take the distribution; a greedy one always gives the mode."""
        self.slates, self.greedy = slates, greedy

    @classmethod
    @override(Distribution)
    def from_logits(
        cls,
        logits: Tensor,
        *,
        slate_size: int,
        generator: torch.Generator | None = None,
        masked: bool = False,
        **kwargs: Any,
    ) -> SlateActionDistribution:
        """Make the distribution; what follows the scores is bound by `get_partial_dist_cls`.

        `masked`: scores as low as `NEVER` are of candidates that are not there.
        """
        mask = logits > NEVER / 2 if masked else None
        return SlateActionDistribution(PlackettLuce(logits, slate_size, generator, mask))

    @override(Distribution)
    def sample(self, *, sample_shape: Any = None, return_logp: bool = False, **kwargs: Any) -> Any:
        """Draw slates `[B, k]`; `return_logp` adds their log-probabilities `[B]`."""
        slates = self.slates.mode() if self.greedy else self.slates.sample()
        return (slates, self.logp(slates)) if return_logp else slates

    @override(Distribution)
    def rsample(self, **kwargs: Any) -> Any:
        """Refuse: slates are discrete."""
        raise NotImplementedError("a slate cannot be drawn with a gradient")

    @override(Distribution)
    def logp(self, value: Tensor, **kwargs: Any) -> Tensor:
        """Return the log-probabilities `[B]` of slates `[B, k]`; of the mode of a greedy distribution 0."""
        value = value.long()
        if self.greedy:
            same = (value == self.slates.mode()).all(-1)
            return torch.zeros_like(self.slates.scores[:, 0]).masked_fill(~same, -torch.inf)
        return self.slates.log_prob(value)

    @override(Distribution)
    def entropy(self, **kwargs: Any) -> Tensor:
        """Return the entropies `[B]`; see `PlackettLuce.entropy`."""
        return torch.zeros_like(self.slates.scores[:, 0]) if self.greedy else self.slates.entropy()

    @override(Distribution)
    def kl(self, other: Distribution, **kwargs: Any) -> Tensor:
        """Return the divergences from `other` `[B]`; see `PlackettLuce.kl`."""
        assert isinstance(other, SlateActionDistribution)
        return self.slates.kl(other.slates)

    @staticmethod
    @override(Distribution)
    def required_input_dim(space: gymnasium.Space[Any], **kwargs: Any) -> int:
        """Return C, the number of candidates."""
        assert isinstance(space, gymnasium.spaces.MultiDiscrete)
        return int(space.nvec[0])

    @override(Distribution)
    def to_deterministic(self) -> Self:
        """Return the distribution that always gives the mode."""
        return type(self)(self.slates, greedy=True)
