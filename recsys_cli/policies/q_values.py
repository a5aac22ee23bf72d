"""A policy of item values with a posterior."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys_cli.networks.features import Observed
from recsys_cli.policies.base import Observation, drawn
from recsys_cli.policies.network import ScoreNetwork, ScoringPolicy
from recsys_cli.slates.distributions import SlateDistribution


class DrawingNetwork(ScoreNetwork, Protocol):
    """A torch module that values items, with a posterior of the values."""

    def drawn_slates(self, observed: Observed, rng: np.random.Generator) -> Tensor:
        """Return the best slates `[B, k]` by values drawn for each row alone."""


class QPolicy(ScoringPolicy):
    """Shows the best slates of a network of item values, or of a draw of them."""

    network: DrawingNetwork

    def posterior(self, observation: Observation) -> SlateDistribution:
        """See `SlatePolicy.posterior`: the values are drawn, a learned choice model stays as it is."""

        def draw(observation: Observation, rng: np.random.Generator) -> NDArray[Any]:
            with torch.no_grad():
                return self.network.drawn_slates(self.observed(observation), rng).cpu().numpy()

        return drawn(draw, self.slate_size, observation)
