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
"""Draws one slate per user, `[N, k]`, from the given random stream."""


ALWAYS_ALLOWED = "allowed: none, epsilon:<probability>"


class SlatePolicy(ABC):
    """Maps N users' observations to N distributions over slates.

    `tensors` returns what a policy has learned and `load_tensors` restores it: with the config, that is all a
    checkpoint needs to rebuild it.

    Attributes:
        slate_size: documents of a slate.
        served_by_draws: whether it is served by draws from its distribution; else by the mode.
        asked_of_all: whether it answers for all users at once only.
    """

    slate_size: int
    served_by_draws: bool = False
    asked_of_all: bool = False

    @abstractmethod
    def distribution(self, observation: Observation) -> SlateDistribution:
        """Return the distribution when serving."""

    def behaviour(self, observation: Observation) -> SlateDistribution:
        """Return the distribution while learning, without the random slates that its runner may mix in."""
        return self.distribution(observation)

    def served(self, observation: Observation) -> SlateDistribution:
        """Return the distribution shown in evaluation: its own, or its mode for certain."""
        law = self.distribution(observation)
        return law if self.served_by_draws else Certain(law.mode(), law.num_candidates, law.mask)

    def scores(self, observation: Observation) -> Floats:
        """Return scores `[N, C]` of the candidates: the k greatest, falling, are its mode.

        Raises:
            ConfigError: it has no scores of single items.
        """
        raise ConfigError(f"explore=plackett_luce needs scores of items, and this policy has none; {ALWAYS_ALLOWED}")

    def softened(self, observation: Observation, temperature: float) -> SlateDistribution:
        """Return slates drawn from its own scores at a temperature; the mode stays the same.

        Raises:
            ConfigError: it has no scores.
        """
        return PlackettLuceSlates(self.scores(observation), self.slate_size, temperature, observation.get("mask"))

    def posterior(self, observation: Observation) -> SlateDistribution:
        """Return slates drawn from its posterior (Thompson sampling).

        Raises:
            ConfigError: it has none.
        """
        raise ConfigError(f"explore=thompson needs a posterior, and this policy has none; {ALWAYS_ALLOWED}")

    def new_memory(self, users: int) -> Memory:
        """Return this policy's session memory, which extends the observations it takes."""
        return Memory()

    def watch(self, env: SlateVectorEnv) -> None:  # noqa: B027 (an oracle overrides it; others need not)
        """Receive the env that observations will come from; only oracles look inside."""

    def must_plan(self, env: Any) -> bool:
        """Whether watching users of a problem, an `EnvConfig`, begins with seconds of planning (some oracles')."""
        return False

    def tensors(self) -> dict[str, np.ndarray]:
        """Return what was learned, by name."""
        return {}

    def load_tensors(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Restore what `tensors` returned.

        Raises:
            ConfigError: names or shapes do not match this policy.
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
    """Return `rule`'s distribution for an observation, computed on demand and only for the queried users."""
    sizes = (*observation["doc"].shape[:2], slate_size, observation.get("mask"))
    return Deferred(lambda rows: rule(of_users(observation, rows)), *sizes)


def drawn(draw: Draw, slate_size: int, observation: Observation) -> DrawnOnly:
    """Return the distribution that `draw` draws from."""
    sizes = (*observation["doc"].shape[:2], slate_size, observation.get("mask"))
    return DrawnOnly(lambda rows, rng: draw(of_users(observation, rows), rng), *sizes)


def of_users(observation: Observation, rows: NDArray[np.int64] | None) -> Observation:
    """Return the parts of an observation that policies read, for some users, by number, or all."""
    if rows is None:
        return observation
    return {name: np.asarray(value)[rows] for name, value in observation.items() if name != "response"}


def state_of(columns: Mapping[str, Any], prefix: str = "") -> np.ndarray:
    """Return user and memory, `[n, U + M]`, of an observation or of transitions' columns."""
    user, memory = np.asarray(columns[f"{prefix}user"]), columns.get(f"{prefix}memory")
    return user if memory is None else np.concatenate([user, memory], axis=-1)


def mask_of(observation: Observation) -> Tensor | None:
    """Return which candidates are present, `[N, C]`; None if all are."""
    return None if observation.get("mask") is None else torch.as_tensor(np.asarray(observation["mask"], bool))
