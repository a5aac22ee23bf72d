"""The policy interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys_cli.config.errors import ConfigError
from recsys_cli.policies.memory import Memory
from recsys_cli.slates.distributions import Certain, Deferred, DrawnOnly, PlackettLuceSlates, SlateDistribution

if TYPE_CHECKING:
    from recsys_cli.envs.base import SlateVectorEnv

Observation = Mapping[str, Any]
"""`user` [N, U], `doc` [N, C, F] (or numbers [N, C]), `response` of [N, k] arrays about the previous slate; `memory`
[N, M] if the policy remembers anything (see `SlatePolicy.new_memory`), `mask` [N, C] if the number of candidates
varies."""

Floats = NDArray[np.float64]
Draw = Callable[[Observation, np.random.Generator], NDArray[Any]]
"""Draws a slate a user, `[N, k]`, by the random stream given."""


ALWAYS_ALLOWED = "allowed: none, epsilon:<probability>"


class SlatePolicy(ABC):
    """Answers N users' observations with N distributions over slates.

    A policy that learned something returns it from `tensors` and takes it back in `load_tensors`: with the config
    that is all a checkpoint needs to rebuild it.

    Attributes:
        slate_size: documents of a slate.
        served_by_draws: whether it is served by draws from its distribution; else by the distribution's mode.
        asked_of_all: whether it answers for all users at once only.
    """

    slate_size: int
    served_by_draws: bool = False
    asked_of_all: bool = False

    @abstractmethod
    def distribution(self, observation: Observation) -> SlateDistribution:
        """Return what it does when it serves."""

    def behaviour(self, observation: Observation) -> SlateDistribution:
        """Return what it does while it learns, without the random slates that its runner may mix in."""
        return self.distribution(observation)

    def served(self, observation: Observation) -> SlateDistribution:
        """Return what evaluation shows: a draw, or for certain the mode."""
        law = self.distribution(observation)
        return law if self.served_by_draws else Certain(law.mode(), law.num_candidates, law.mask)

    def scores(self, observation: Observation) -> Floats:
        """Return numbers `[N, C]` that rank the candidates: the k greatest, falling, are what it serves as its mode.

        Raises:
            ConfigError: it values no single items.
        """
        raise ConfigError(f"explore=plackett_luce needs scores of items, and this policy has none; {ALWAYS_ALLOWED}")

    def softened(self, observation: Observation, temperature: float) -> SlateDistribution:
        """Return slates drawn by its own scores at a temperature; the mode stays what it serves.

        Raises:
            ConfigError: it has no scores.
        """
        return PlackettLuceSlates(self.scores(observation), self.slate_size, temperature, observation.get("mask"))

    def posterior(self, observation: Observation) -> SlateDistribution:
        """Return slates drawn by its belief (Thompson sampling).

        Raises:
            ConfigError: it has none.
        """
        raise ConfigError(f"explore=thompson needs a posterior, and this policy has none; {ALWAYS_ALLOWED}")

    def new_memory(self, users: int) -> Memory:
        """Return what remembers past responses for this policy; it takes observations that this extended."""
        return Memory()

    def watch(self, env: SlateVectorEnv) -> None:  # noqa: B027 (an oracle overrides it; others need not)
        """Take the env that the observations will come from; only oracles look inside."""

    def tensors(self) -> dict[str, np.ndarray]:
        """Return what was learned, by name."""
        return {}

    def load_tensors(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Take back what `tensors` returned.

        Raises:
            ConfigError: names or shapes are not this policy's.
        """
        if tensors:
            raise ConfigError(f"the checkpoint holds {sorted(tensors)}, but {type(self).__name__} has no parameters")


class GreedyPolicy(SlatePolicy):
    """A policy that is certain of its slates."""

    @abstractmethod
    def slates(self, observation: Observation) -> NDArray[Any]:
        """Return the slates, `[N, k]`."""

    def distribution(self, observation: Observation) -> SlateDistribution:
        """See `SlatePolicy.distribution`."""
        return certain(self.slates(observation), observation)


def certain(slates: NDArray[Any], observation: Observation) -> Certain:
    """Return the distribution of slates that are certain."""
    return Certain(slates, observation["doc"].shape[1], observation.get("mask"))


def deferred(rule: Callable[[Observation], SlateDistribution], slate_size: int, observation: Observation) -> Deferred:
    """Return what `rule` makes of an observation, when it is asked for, and of those users only that it is about."""
    sizes = (*observation["doc"].shape[:2], slate_size, observation.get("mask"))
    return Deferred(lambda rows: rule(of_users(observation, rows)), *sizes)


def drawn(draw: Draw, slate_size: int, observation: Observation) -> DrawnOnly:
    """Return the distribution that `draw` draws from."""
    sizes = (*observation["doc"].shape[:2], slate_size, observation.get("mask"))
    return DrawnOnly(lambda rows, rng: draw(of_users(observation, rows), rng), *sizes)


def of_users(observation: Observation, rows: NDArray[np.int64] | None) -> Observation:
    """Return what policies read of the observation of some users, by their numbers, or of all."""
    if rows is None:
        return observation
    return {name: np.asarray(value)[rows] for name, value in observation.items() if name != "response"}


def state_of(columns: Mapping[str, Any], prefix: str = "") -> np.ndarray:
    """Return the user with what is remembered, `[n, U + M]`, of an observation or of transitions' columns."""
    user, memory = np.asarray(columns[f"{prefix}user"]), columns.get(f"{prefix}memory")
    return user if memory is None else np.concatenate([user, memory], axis=-1)


def mask_of(observation: Observation) -> Tensor | None:
    """Return the candidates that are there, `[N, C]`; None if all are."""
    return None if observation.get("mask") is None else torch.as_tensor(np.asarray(observation["mask"], bool))
