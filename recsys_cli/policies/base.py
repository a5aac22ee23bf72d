"""The policy interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_cli.config.errors import ConfigError
from recsys_cli.policies.history import History

if TYPE_CHECKING:
    from recsys_cli.envs.base import SlateVectorEnv

Observation = Mapping[str, Any]
"""`user` [N, U] (behind it what the policy remembers, see `SlatePolicy.new_history`), `doc` [N, C, F] (or topic indices
[N, C]), `response` of [N, k] arrays about the previous slate."""


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

    def new_history(self, users: int) -> History:
        """Return what remembers past responses for this policy; `act` takes observations that it extended."""
        return History()

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
