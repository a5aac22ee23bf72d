"""Policies that act with a torch network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys_cli.networks.features import observation_tensors
from recsys_cli.networks.parameters import load_parameters, parameters_of
from recsys_cli.policies.base import Floats, GreedyPolicy, Observation
from recsys_cli.policies.history import History, HistoryKind, history_features, new_history
from recsys_cli.slates.distributions import PlackettLuceSlates

if TYPE_CHECKING:
    from recsys_cli.envs.base import EnvConfig


class SlateNetwork(Protocol):
    """A torch module that chooses slates."""

    slate_size: int

    def slates(self, user: Tensor, doc: Tensor) -> Tensor:
        """Return the best slates `[B, k]`."""

    def new_history(self, users: int) -> History:
        """Return what the network wants to be remembered."""


class SessionNetwork(nn.Module):
    """What networks share that act on a user with what is remembered of the session.

    Attributes:
        user_features: length of the user observation with what is remembered.
        slate_size: documents of a slate.
    """

    def __init__(self, env: EnvConfig, history: HistoryKind) -> None:
        """Take the problem and what is to be remembered."""
        super().__init__()
        self.problem, self.history, self.slate_size = env, history, env.slate_size
        self.user_features = env.user_features + history_features(history, env)

    def new_history(self, users: int) -> History:
        """Return the history that `algo.history` names."""
        return new_history(self.history, self.problem, users)


class ScoreNetwork(SlateNetwork, Protocol):
    """A torch module that scores candidates."""

    def scores(self, user: Tensor, doc: Tensor) -> Tensor:
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
            return self.network.slates(*observation_tensors(observation, self.device)).cpu().numpy()

    def new_history(self, users: int) -> History:
        """Return the history that the network was built for."""
        return self.network.new_history(users)

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the network's parameters."""
        return parameters_of(self._torch)

    def load_tensors(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Take back parameters; see `SlatePolicy.load_tensors`."""
        load_parameters(self._torch, tensors)


class ScoringPolicy(NetworkPolicy):
    """Adds the network's scores."""

    network: ScoreNetwork

    def scores(self, observation: Observation) -> Floats:
        """See `SlatePolicy.scores`."""
        return self._scores(observation).cpu().double().numpy()

    def _scores(self, observation: Observation) -> Tensor:
        with torch.no_grad():
            return self.network.scores(*observation_tensors(observation, self.device))


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
