"""Policies that act with a torch network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys_cli.networks.features import Observed, is_index, observation_tensors
from recsys_cli.networks.parameters import load_parameters, parameters_of
from recsys_cli.policies.base import Floats, GreedyPolicy, Observation
from recsys_cli.policies.memory import Memory, MemoryKind, memory_features, new_memory
from recsys_cli.slates.distributions import PlackettLuceSlates

if TYPE_CHECKING:
    from recsys_cli.envs.spec import ProblemSpec


class SlateNetwork(Protocol):
    """A torch module that chooses slates."""

    slate_size: int

    def slates(self, observed: Observed) -> Tensor:
        """Return the best slates `[B, k]`."""

    def known(self, observed: Observed) -> Observed:
        """Return an observation as the network takes it."""

    def new_memory(self, users: int) -> Memory:
        """Return what the network wants to be remembered."""


class SessionNetwork(nn.Module):
    """What networks share that act on a user with what is remembered of the session.

    Attributes:
        state_features: length of the user's features with what is remembered.
        slate_size: documents of a slate.
        items: features of the items that numbers stand for; None if they stand for topics, or for nothing.
    """

    items: Tensor | None

    def __init__(self, spec: ProblemSpec, memory: MemoryKind) -> None:
        """Take the problem and what is to be remembered."""
        super().__init__()
        self.problem, self.memory, self.slate_size = spec, memory, spec.slate_size
        self.state_features = len(spec.user) + memory_features(memory, spec)
        items = None if spec.documents.items is None else torch.from_numpy(spec.documents.items)
        self.register_buffer("items", items, persistent=False)  # of the problem, not learned

    def new_memory(self, users: int) -> Memory:
        """Return the memory that `algo.memory` names."""
        return new_memory(self.memory, self.problem, users)

    def features_of(self, doc: Tensor) -> Tensor:
        """Return documents as the layers take them: an item's number becomes its features."""
        return doc if self.items is None or not is_index(doc) else self.items[doc.long()]

    def known(self, observed: Observed) -> Observed:
        """Return an observation with its candidates as the layers take them."""
        return observed._replace(doc=self.features_of(observed.doc))

    def observed_in(self, columns: Mapping[str, Tensor], prefix: str = "") -> Observed:
        """Return what a batch's columns, or those of the `next_` state, say."""
        names = [name for name in Observed._fields if prefix + name in columns]
        return self.known(Observed(**{name: columns[prefix + name] for name in names}))

    def shown_in(self, columns: Mapping[str, Tensor]) -> Observed:
        """Return what a batch says of the slates shown: their documents are the candidates."""
        user, doc = columns["user"], self.features_of(columns["slate_doc"])
        return Observed(user, doc, columns.get("memory"), columns.get("shown"))


class ScoreNetwork(SlateNetwork, Protocol):
    """A torch module that scores candidates."""

    def scores(self, observed: Observed) -> Tensor:
        """Return scores `[B, C]`, of which the greatest, falling, are the best slate."""


class NetworkPolicy(GreedyPolicy):
    """Shows the slates that a network finds best."""

    def __init__(self, network: SlateNetwork) -> None:
        """Act with `network`, which may go on learning."""
        self.network, self.slate_size = network, network.slate_size
        self._torch = cast(nn.Module, network)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self._torch.parameters()).device

    def slates(self, observation: Observation) -> NDArray[Any]:
        """See `GreedyPolicy.slates`."""
        with torch.no_grad():
            return self.network.slates(self.observed(observation)).cpu().numpy()

    def observed(self, observation: Observation) -> Observed:
        """Return an observation as the network takes it."""
        return self.network.known(observation_tensors(observation, self.device))

    def new_memory(self, users: int) -> Memory:
        """Return the memory that the network was built for."""
        return self.network.new_memory(users)

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the network's parameters."""
        return parameters_of(self._torch)

    def load_tensors(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Restore parameters; see `SlatePolicy.load_tensors`."""
        load_parameters(self._torch, tensors)


class ScoringPolicy(NetworkPolicy):
    """Adds the network's scores."""

    network: ScoreNetwork

    def scores(self, observation: Observation) -> Floats:
        """See `SlatePolicy.scores`."""
        return self._scores(observation).cpu().double().numpy()

    def _scores(self, observation: Observation) -> Tensor:
        with torch.no_grad():
            return self.network.scores(self.observed(observation))


class PlackettLucePolicy(ScoringPolicy):
    """Draws slates by a network's scores without replacement, and is served by the highest scores."""

    def distribution(self, observation: Observation) -> PlackettLuceSlates:
        """See `SlatePolicy.distribution`."""
        return PlackettLuceSlates(self._scores(observation), self.slate_size, mask=observation.get("mask"))


Built = TypeVar("Built")


def seeded(seed: int, build: Callable[[], Built]) -> Built:
    """Build a network with initial weights of a seed; the caller's torch random stream is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()
