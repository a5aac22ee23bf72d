"""The policy that draws slates from a network's scores."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from recsys_cli.networks.features import Observed, observation_tensors
from recsys_cli.policies.base import Observation
from recsys_cli.policies.network import NetworkPolicy, SlateNetwork
from recsys_cli.slates.plackett_luce import PlackettLuce


class ScoreNetwork(SlateNetwork, Protocol):
    """A torch module that scores candidates."""

    slate_size: int

    def scores(self, observed: Observed) -> Tensor:
        """Return the scores of the candidates, `[B, C]`."""


class PlackettLucePolicy(NetworkPolicy):
    """Shows the documents of highest score or, to explore, a slate drawn by the scores without replacement."""

    network: ScoreNetwork

    def __init__(self, network: ScoreNetwork, rng: np.random.Generator) -> None:
        """Act with `network`, which may go on learning.

        Args:
            network: gives the scores.
            rng: the random stream of the exploration.
        """
        super().__init__(network)
        self.rng = rng

    def act(self, observation: Observation, *, explore: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Choose slates; see `SlatePolicy.act`."""
        if not explore:
            return super().act(observation)
        observed = self.network.known(observation_tensors(observation, self.device))
        with torch.no_grad():
            slates = PlackettLuce(self.network.scores(observed), self.network.slate_size)
            noise = self.rng.standard_exponential(slates.scores.shape, dtype=np.float32)
            drawn = slates.sample(torch.as_tensor(noise, device=self.device))
            return drawn.cpu().numpy(), slates.log_prob(drawn).cpu().numpy().astype(np.float64)
