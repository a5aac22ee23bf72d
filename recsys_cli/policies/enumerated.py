"""Policies of networks that give every slate a number."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from recsys_cli.networks.features import observation_tensors
from recsys_cli.policies.base import Observation
from recsys_cli.policies.network import NetworkPolicy, SlateNetwork
from recsys_cli.slates.distributions import EnumeratedSoftmax


class EveryValueNetwork(SlateNetwork, Protocol):
    """A torch module that gives every slate a number."""

    def every_value(self, user: Tensor, doc: Tensor) -> Tensor:
        """Return the numbers of all slates, `[B, M]`."""

    def all_slates(self, num_candidates: int, device: torch.device) -> Tensor:
        """Return the documents of each slate that make a difference, `[M, attended]`."""


class EnumeratedPolicy(NetworkPolicy):
    """Shows the slate of greatest value; softened by a softmax over all of them."""

    network: EveryValueNetwork

    def softened(self, observation: Observation, temperature: float) -> EnumeratedSoftmax:
        """See `SlatePolicy.softened`."""
        user, doc = observation_tensors(observation, self.device)
        with torch.no_grad():
            values = self.network.every_value(user, doc)
        slates = self.network.all_slates(doc.shape[1], torch.device("cpu")).numpy()
        return EnumeratedSoftmax(values, slates, doc.shape[1], self.slate_size, temperature, observation.get("mask"))


class SlateSoftmaxPolicy(EnumeratedPolicy):
    """Draws slates by a softmax over their numbers, and is served by the greatest."""

    def distribution(self, observation: Observation) -> EnumeratedSoftmax:
        """See `SlatePolicy.distribution`."""
        return self.softened(observation, 1.0)
