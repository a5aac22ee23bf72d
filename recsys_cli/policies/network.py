"""Policies that act with a torch network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys_cli.envs.spec import are_numbers
from recsys_cli.networks.belief import BeliefFilter
from recsys_cli.networks.features import Observed, is_index, observation_tensors
from recsys_cli.networks.parameters import load_parameters, parameters_of
from recsys_cli.policies.base import Floats, GreedyPolicy, Observation
from recsys_cli.policies.belief import BeliefMemory, evidence_features, remembered_features
from recsys_cli.policies.memory import Memory, MemoryKind, new_memory
from recsys_cli.slates.distinct import enough_of_each
from recsys_cli.slates.distributions import PlackettLuceSlates

if TYPE_CHECKING:
    from recsys_cli.envs.spec import ProblemSpec


class SlateNetwork(Protocol):
    """A torch module that chooses slates."""

    slate_size: int
    problem: ProblemSpec

    def slates(self, observed: Observed) -> Tensor:
        """Return the best slates `[B, k]`."""

    def known(self, observed: Observed) -> Observed:
        """Return an observation as the network takes it."""

    def new_memory(self, users: int) -> Memory:
        """Return the network's session memory."""


class SessionNetwork(nn.Module):
    """Shared by networks that act on user and session memory.

    Attributes:
        state_features: number of user and memory features.
        slate_size: documents of a slate.
        items: features of the numbered items; None if numbers mean topics or are not used.
    """

    items: Tensor | None

    def __init__(self, spec: ProblemSpec, memory: MemoryKind | Literal["auto", "belief"]) -> None:
        """Take the problem and the kind of memory; `auto` is none unless a training has resolved it."""
        super().__init__()
        self.memory: MemoryKind | Literal["belief"] = "none" if memory == "auto" else memory
        self.filter = BeliefFilter(evidence_features(spec)) if memory == "belief" else None
        self.problem, self.slate_size = spec, spec.slate_size
        self.state_features = len(spec.user) + remembered_features(self.memory, spec)
        items = None if spec.documents.items is None else torch.from_numpy(spec.documents.items)
        self.register_buffer("items", items, persistent=False)  # of the problem, not learned

    def new_memory(self, users: int) -> Memory:
        """Return the memory that `algo.memory` names."""
        if self.memory != "belief":
            return new_memory(self.memory, self.problem, users)
        assert self.filter is not None
        return BeliefMemory(self.filter, self.problem, users)

    def features_of(self, doc: Tensor) -> Tensor:
        """Return documents in the layers' form: an item's number becomes its features."""
        return doc if self.items is None or not is_index(doc) else self.items[doc.long()]

    def known(self, observed: Observed) -> Observed:
        """Return an observation with its candidates and its memory in the layers' form."""
        return observed._replace(doc=self.features_of(observed.doc), memory=self.remembered(observed.memory))

    def remembered(self, memory: Tensor | None) -> Tensor | None:
        """Return the session memory in the layers' form; None if they take none, whatever others remember."""
        return None if self.memory == "none" else memory

    def observed_in(self, columns: Mapping[str, Tensor], prefix: str = "") -> Observed:
        """Return the observation in a batch's columns, or in those of the `next_` state."""
        names = [name for name in Observed._fields if prefix + name in columns]
        return self.known(Observed(**{name: columns[prefix + name] for name in names}))

    def shown_in(self, columns: Mapping[str, Tensor]) -> Observed:
        """Return the observation of a batch's shown slates, with their documents as candidates."""
        user, doc = columns["user"], self.features_of(columns["slate_doc"])
        return Observed(user, doc, self.remembered(columns.get("memory")), columns.get("shown"))


class ScoreNetwork(SlateNetwork, Protocol):
    """A torch module that scores candidates."""

    def scores(self, observed: Observed) -> Tensor:
        """Return scores `[B, C]`, of which the greatest, falling, are the best slate."""


class NetworkPolicy(GreedyPolicy):
    """Shows a network's best slates."""

    def __init__(self, network: SlateNetwork) -> None:
        """Act with `network`, which may keep learning."""
        self.network, self.slate_size = network, network.slate_size
        self._torch = cast(nn.Module, network)

    @property
    def device(self) -> torch.device:
        """The network's device."""
        return next(self._torch.parameters()).device

    def slates(self, observation: Observation) -> NDArray[Any]:
        """See `GreedyPolicy.slates`; of many copies of a document only those that may be needed are looked at."""
        few = enough_of_each_in(observation, self.network.problem)
        if few is not None:
            observation = {**observation, "doc": np.take_along_axis(observation["doc"], few, axis=1)}
        with torch.no_grad():
            slates = self.network.slates(self.observed(observation)).cpu().numpy()
        return slates if few is None else np.take_along_axis(few, slates, axis=1)

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


def enough_of_each_in(
    columns: Mapping[str, Any], spec: ProblemSpec, prefix: Literal["", "next_"] = ""
) -> NDArray[np.intp] | None:
    """Return positions of candidates that suffice for the best slate, see `enough_of_each`; None: all are needed."""
    doc = columns[prefix + "doc"]
    if prefix + "mask" in columns or not are_numbers(doc):
        return None
    return enough_of_each(doc, spec.documents.numbers, spec.slate_size)


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
    """Draws slates by a network's scores without replacement; served by the highest scores, or by draws."""

    network: ScoreNetwork

    def __init__(self, network: ScoreNetwork, *, served_by_draws: bool = False) -> None:
        """Act with `network`, which may keep learning."""
        super().__init__(network)
        self.served_by_draws = served_by_draws

    def distribution(self, observation: Observation) -> PlackettLuceSlates:
        """See `SlatePolicy.distribution`."""
        return PlackettLuceSlates(self._scores(observation), self.slate_size, mask=observation.get("mask"))


Built = TypeVar("Built")


def seeded(seed: int, build: Callable[[], Built]) -> Built:
    """Build a network with initial weights from a seed, leaving torch's global random stream unchanged."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()
