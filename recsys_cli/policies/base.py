"""The policy interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_cli.config.errors import ConfigError
from recsys_cli.policies.memory import Memory

if TYPE_CHECKING:
    from recsys_cli.envs.base import SlateVectorEnv

Observation = Mapping[str, Any]
"""`user` [N, U], `doc` [N, C, F] (or numbers [N, C]), `response` of [N, k] arrays about the previous slate; `memory`
[N, M] if the policy remembers anything (see `SlatePolicy.new_memory`), `mask` [N, C] if the number of candidates
varies."""


class SlatePolicy(ABC):
    """Answers N users' observations with N slates.

    A policy that learned something returns it from `tensors` and takes it back in `load_tensors`: with the config
    that is all a checkpoint needs to rebuild it.
    """

    @abstractmethod
    def act(self, observation: Observation, *, explore: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Choose slates.

        Args:
            observation: of N users.
            explore: whether to choose as in training; greedy otherwise.

        Returns:
            Slates `[N, k]` (int64) and their log-propensities `[N]` (float64; 0 where the choice is certain, nan
            where nobody can say).
        """

    def new_memory(self, users: int) -> Memory:
        """Return what remembers past responses for this policy; `act` takes observations that it extended."""
        return Memory()

    def draw_from(self, rng: np.random.Generator) -> None:  # noqa: B027 (most policies draw nothing)
        """Explore with this random stream from now on: whoever plays the policy keeps its state."""

    def watch(self, env: SlateVectorEnv) -> None:  # noqa: B027 (an oracle overrides it; others need not)
        """Be told which env the observations will come from; only oracles look inside."""

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


def state_of(columns: Mapping[str, Any], prefix: str = "") -> np.ndarray:
    """Return the user with what is remembered, `[n, U + M]`, of an observation or of transitions' columns."""
    user, memory = np.asarray(columns[f"{prefix}user"]), columns.get(f"{prefix}memory")
    return user if memory is None else np.concatenate([user, memory], axis=-1)
