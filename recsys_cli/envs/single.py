"""One user: gymnasium's `Env`, the N = 1 view of the vectorised users."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import error
from numpy.typing import NDArray

from recsys_cli.envs.base import EnvConfig
from recsys_cli.envs.checks import require
from recsys_cli.envs.rendering import rendered
from recsys_cli.envs.spec import DENSE
from recsys_cli.envs.vector import Observation

ANSI = "ansi"


class SlateEnv(gymnasium.Env[Observation, NDArray[Any]]):
    """One user of a problem; observations and actions as in `SlateVectorEnv`, without the leading axis.

    The same seed and actions give what `make_vec(1)` gives; but an episode that has ended must be reset. Random numbers
    come from the vectorised env's own stream, not from `np_random`.

    Attributes:
        over: whether the episode has ended, or none has begun.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": [ANSI], "render_fps": 1}  # type: ignore[misc]

    def __init__(self, config: EnvConfig, doc_format: str = DENSE, render_mode: str | None = None) -> None:
        """Build one user of `config`.

        Raises:
            ConfigError: another render mode than None and `ansi`.
        """
        require(
            render_mode in (None, ANSI),
            f"render_mode={render_mode!r} is not available for env={config.name}; allowed: None, {ANSI!r} (text)",
        )
        self.config, self.render_mode = config, render_mode
        self._users = config.make_vec(1, doc_format=doc_format)
        self.observation_space = self._users.single_observation_space
        self.action_space = self._users.single_action_space
        self.over = True
        self._observation: Observation = {}
        self._shown: tuple[Any, NDArray[Any] | None] = None, None  # the last step's candidates and slate
        self._steps, self._reward, self._return = 0, 0.0, 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start a new user; see `SlateVectorEnv.reset`."""
        super().reset(seed=seed)
        observation, info = self._users.reset(seed=seed, options=options)
        self.over, self._steps, self._reward, self._return = False, 0, 0.0, 0.0
        self._observation, self._shown = _first(observation), (None, None)
        return self._observation, info

    def step(self, action: NDArray[Any]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Show the slate `[k]`.

        Raises:
            ValueError: an invalid slate.
            gymnasium.error.ResetNeeded: before the first `reset`, or after the episode's end.
        """
        if self.over:
            raise error.ResetNeeded("call reset before step, and after an episode's end")
        slate = np.asarray(action)
        observation, reward, terminated, truncated, info = self._users.step(slate[None])
        self.over = bool(terminated[0] or truncated[0])
        self._shown, self._observation = (self._observation["doc"], slate), _first(observation)
        self._steps, self._reward = self._steps + 1, float(reward[0])
        self._return += self._reward
        return self._observation, self._reward, bool(terminated[0]), bool(truncated[0]), info

    def render(self) -> str | None:  # type: ignore[override]
        """Return the last slate with the user's response, the user and the candidates as text, a few of each.

        Raises:
            gymnasium.error.ResetNeeded: before the first `reset`.
        """
        if self.render_mode is None:
            gymnasium.logger.warn("render needs render_mode='ansi' in gymnasium.make")
            return None
        if not self._observation:
            raise error.ResetNeeded("call reset before render")
        counts = f"step {self._steps}, reward {self._reward:.4g}, return {self._return:.4g}"
        headline = f"{self.config.name}: {counts}{', ended' if self.over else ''}"
        return rendered(self.config.spec, self._observation, *self._shown, headline)

    def hidden_state(self) -> dict[str, NDArray[Any]]:
        """Return what no policy may see; see `SlateVectorEnv.hidden_state`."""
        return {key: values[0] for key, values in self._users.hidden_state().items()}


def _first(observation: Observation) -> Observation:
    """Return the observation of user 0."""
    return {key: _first(value) if isinstance(value, dict) else value[0] for key, value in observation.items()}
