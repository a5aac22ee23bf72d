"""The policy that acts greedily with a torch network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from recsys_cli.networks.features import observation_tensors
from recsys_cli.networks.parameters import load_parameters, parameters_of
from recsys_cli.policies.base import Observation, SlatePolicy
from recsys_cli.policies.history import History, HistoryKind, history_features, new_history

if TYPE_CHECKING:
    from recsys_cli.envs.base import EnvConfig


class SlateNetwork(Protocol):
    """A torch module that chooses slates."""

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


class NetworkPolicy(SlatePolicy):
    """Shows the slates that a network finds best."""

    def __init__(self, network: SlateNetwork) -> None:
        """Act with `network`, which may go on learning."""
        self.network = network
        self._torch = cast(nn.Module, network)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self._torch.parameters()).device

    def act(self, observation: Observation, *, explore: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Choose greedily; exploration is the runner's."""
        with torch.no_grad():
            slates = self.network.slates(*observation_tensors(observation, self.device))
        return slates.cpu().numpy(), np.zeros(len(slates))

    def new_history(self, users: int) -> History:
        """Return the history that the network was built for."""
        return self.network.new_history(users)

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the network's parameters."""
        return parameters_of(self._torch)

    def load_tensors(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Take back parameters; see `SlatePolicy.load_tensors`."""
        load_parameters(self._torch, tensors)


Built = TypeVar("Built")


def seeded(seed: int, build: Callable[[], Built]) -> Built:
    """Build a network with initial weights of a seed; the caller's torch random stream is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()
