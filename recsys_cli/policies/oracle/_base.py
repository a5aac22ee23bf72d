"""Shared by all oracles: they look inside the env that they watch."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_cli.policies.base import GreedyPolicy

if TYPE_CHECKING:
    from recsys_cli.envs.base import SlateVectorEnv


class OraclePolicy(GreedyPolicy):
    """A policy that acts on the watched env's current hidden state."""

    asked_of_all = True  # the env's hidden state is of all its users

    def __init__(self, seed: int = 0) -> None:
        """Watch nothing yet; `seed` is for the simulations that find an oracle's values."""
        self.seed = seed
        self._watched: SlateVectorEnv | None = None

    def watch(self, env: SlateVectorEnv) -> None:
        """Look inside `env` from now on; observations must be its latest."""
        if self._watched is None or env.config != self._watched.config:
            self.slate_size = env.config.slate_size
            self.solve(env.config)
        self._watched = env

    @abstractmethod
    def solve(self, env: Any) -> None:
        """Find the values of a problem, an `EnvConfig`."""

    def hidden(self, users: int) -> dict[str, np.ndarray]:
        """Return the hidden state, `[N, ...]` each.

        Raises:
            RuntimeError: no env is watched, or the observation is not of its users.
        """
        if self._watched is None or self._watched.num_envs != users:
            raise RuntimeError("an oracle acts on the whole observation of the env that `watch` gave it")
        state: dict[str, Any] = self._watched.hidden_state()
        return state
