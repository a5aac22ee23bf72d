"""Policies of networks that score every slate."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from recsys_cli.networks.features import Observed
from recsys_cli.policies.base import Observation
from recsys_cli.policies.network import NetworkPolicy, SlateNetwork
from recsys_cli.slates.distributions import EnumeratedSoftmax


class EveryValueNetwork(SlateNetwork, Protocol):
    """A torch module that scores every slate."""

    def every_value(self, observed: Observed) -> Tensor:
        """Return the scores of all slates, `[B, M]`."""

    def all_slates(self, num_candidates: int, device: torch.device) -> Tensor:
        """Return each slate's documents that the user looks at, `[M, attended]`."""


class EnumeratedPolicy(NetworkPolicy):
    """Shows the slate of greatest value; softened by a softmax over all of them."""

    network: EveryValueNetwork

    def softened(self, observation: Observation, temperature: float) -> EnumeratedSoftmax:
        """See `SlatePolicy.softened`."""
        return self._softmax(self._values(observation).double() / temperature, observation)

    def _values(self, observation: Observation) -> Tensor:
        with torch.no_grad():
            return self.network.every_value(self.observed(observation))

    def _softmax(self, values: Tensor, observation: Observation) -> EnumeratedSoftmax:
        candidates = observation["doc"].shape[1]
        slates = self.network.all_slates(candidates, torch.device("cpu")).numpy()
        return EnumeratedSoftmax(values, slates, candidates, self.slate_size, observation.get("mask"))


class SlateSoftmaxPolicy(EnumeratedPolicy):
    """Draws slates by a softmax over their scores; served by the greatest."""

    def distribution(self, observation: Observation) -> EnumeratedSoftmax:
        """See `SlatePolicy.distribution`."""
        return self._softmax(self._values(observation), observation)
