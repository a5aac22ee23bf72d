"""One user: gymnasium's `Env`, the N = 1 view of the vectorised users."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import error
from numpy.typing import NDArray

from recsys_cli.envs.base import EnvConfig
from recsys_cli.envs.spec import DENSE
from recsys_cli.envs.vector import Observation


class SlateEnv(gymnasium.Env[Observation, NDArray[Any]]):
    """One user of a problem; observations and actions as in `SlateVectorEnv`, without the leading axis.

    The same seed and actions give what `make_vec(1)` gives; but an episode that has ended must be reset. Random numbers
    come from the vectorised env's own stream, not from `np_random`.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}  # type: ignore[misc]

    def __init__(self, config: EnvConfig, doc_format: str = DENSE) -> None:
        """Build one user of `config`."""
        self.config = config
        self._users = config.make_vec(1, doc_format=doc_format)
        self.observation_space = self._users.single_observation_space
        self.action_space = self._users.single_action_space
        self._over = True

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start a new user; see `SlateVectorEnv.reset`."""
        super().reset(seed=seed)
        observation, info = self._users.reset(seed=seed, options=options)
        self._over = False
        return _first(observation), info

    def step(self, action: NDArray[Any]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Show the slate `[k]`.

        Raises:
            ValueError: an invalid slate.
            gymnasium.error.ResetNeeded: before the first `reset`, or after the episode's end.
        """
        if self._over:
            raise error.ResetNeeded("call reset before step, and after an episode's end")
        observation, reward, terminated, truncated, info = self._users.step(np.asarray(action)[None])
        self._over = bool(terminated[0] or truncated[0])
        return _first(observation), float(reward[0]), bool(terminated[0]), bool(truncated[0]), info

    def hidden_state(self) -> dict[str, NDArray[Any]]:
        """Return what no policy may see; see `SlateVectorEnv.hidden_state`."""
        return {key: values[0] for key, values in self._users.hidden_state().items()}


def _first(observation: Observation) -> Observation:
    """Return the observation of user 0."""
    return {key: _first(value) if isinstance(value, dict) else value[0] for key, value in observation.items()}
