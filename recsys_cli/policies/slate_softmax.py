"""The policy that draws whole slates by a softmax over all of them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from recsys_cli.networks.features import Observed, observation_tensors
from recsys_cli.policies.base import Observation
from recsys_cli.policies.network import NetworkPolicy, SlateNetwork


class EveryValueNetwork(SlateNetwork, Protocol):
    """A torch module that gives every slate a number."""

    def every_value(self, observed: Observed) -> Tensor:
        """Return the log-weights of all slates, `[B, M]`."""

    def whole(self, chosen: Tensor, observed: Observed) -> Tensor:
        """Return the slates `[B, k]` of these numbers `[B]`."""


class SlateSoftmaxPolicy(NetworkPolicy):
    """Shows the slate of greatest weight or, to explore, one drawn by the weights."""

    network: EveryValueNetwork

    def __init__(self, network: EveryValueNetwork, rng: np.random.Generator) -> None:
        """Act with `network`, which may go on learning.

        Args:
            network: gives the log-weights.
            rng: the random stream of the exploration.
        """
        super().__init__(network)
        self.rng = rng

    def draw_from(self, rng: np.random.Generator) -> None:
        """Take another random stream."""
        self.rng = rng

    def act(self, observation: Observation, *, explore: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Choose slates; see `SlatePolicy.act`."""
        if not explore:
            return super().act(observation)
        observed = self.network.known(observation_tensors(observation, self.device))
        with torch.no_grad():
            log_p = self.network.every_value(observed).log_softmax(-1)
            # An exponential race: the first to arrive is drawn by the rates.
            noise = torch.as_tensor(self.rng.standard_exponential(log_p.shape, dtype=np.float32), device=self.device)
            drawn = (log_p - noise.clamp_min(torch.finfo(torch.float32).tiny).log()).argmax(-1)
            propensity = log_p.gather(-1, drawn[:, None])[:, 0]
            return self.network.whole(drawn, observed).cpu().numpy(), propensity.cpu().numpy().astype(np.float64)
