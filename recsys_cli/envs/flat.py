"""Vectors in, plain numbers out: the problems for libraries that know neither nested observations nor slates.

An observation is what `gymnasium.spaces.flatten` makes of it, float32. Two kinds of actions, of which none can repeat a
candidate:

- together: `MultiDiscrete([C, C - 1, ..., C - k + 1])`, the j-th number counts among the candidates not chosen before;
- sequential: `Discrete(C)`, k steps for a slate, whose chosen candidates are marked at the end of the observation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import error, spaces
from gymnasium.vector import VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from recsys_cli.envs.single import SlateEnv
from recsys_cli.envs.vector import Observation, SlateVectorEnv

Floats = NDArray[np.float32]
Step = tuple[Floats, float, bool, bool, dict[str, Any]]


def flat_space(space: spaces.Space[Any], more: int = 0) -> spaces.Box:
    """Return the space of one user's flat observation, with `more` marks of 0 or 1 at its end."""
    box = spaces.flatten_space(space)
    assert isinstance(box, spaces.Box)
    low, high = np.append(box.low, np.zeros(more)), np.append(box.high, np.ones(more))
    return spaces.Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32)


def flat(space: spaces.Dict, observation: Observation) -> Floats:
    """Return N users' observations as vectors `[N, D]`."""
    return np.concatenate(list(_parts(space, observation)), axis=1)


def _parts(space: spaces.Dict, observation: Observation) -> Iterator[Floats]:
    for name, part in space.items():
        if isinstance(part, spaces.Dict):
            yield from _parts(part, observation[name])
            continue
        values = observation[name]
        if isinstance(part, spaces.MultiDiscrete):
            values = np.eye(part.nvec[0], dtype=np.float32)[values]
        yield values.reshape(len(values), -1).astype(np.float32)


def slates_of(numbers: NDArray[np.integer[Any]], free: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return slates `[N, k]`, -1 where no candidate is left.

    Args:
        numbers: `[N, k]`, each counts among the candidates still free; beyond the last it starts again.
        free: candidates that may be chosen, `[N, C]`.
    """
    free, users, slates = free.copy(), np.arange(len(numbers)), np.full(numbers.shape, -1)
    for position in range(numbers.shape[1]):
        left = free.sum(axis=1)
        rank = numbers[:, position] % np.maximum(left, 1)
        picked = (free.cumsum(axis=1) > rank[:, None]).argmax(axis=1)
        slates[:, position] = np.where(left > 0, picked, -1)
        free[users, picked] = False
    return slates


def _present(observation: Observation, width: int) -> NDArray[np.bool_]:
    """Return which candidates are there, `[N, C]`."""
    mask = observation.get("mask")
    return np.ones((len(observation["doc"]), width), np.bool_) if mask is None else mask.astype(np.bool_)


def _numbers(width: int, slate_size: int) -> spaces.MultiDiscrete:
    return spaces.MultiDiscrete(width - np.arange(slate_size))


class FlatVectorEnv(VectorEnv[Floats, NDArray[Any], NDArray[Any]]):
    """N users with flat observations and slates chosen together; otherwise as `SlateVectorEnv`."""

    def __init__(self, users: SlateVectorEnv) -> None:
        """Take the users."""
        self.users, self.num_envs, self.metadata = users, users.num_envs, users.metadata
        self.single_observation_space = flat_space(users.single_observation_space)
        self.single_action_space = _numbers(users.problem.width, users.problem.slate_size)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._ended = np.zeros(self.num_envs, np.bool_)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """Start all users again; see `SlateVectorEnv.reset`."""
        observation, info = self.users.reset(seed=seed, options=options)
        self._ended[:] = False
        return self._flat(observation), info

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[Floats, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Show the slates that the numbers `[N, k]` mean; see `SlateVectorEnv.step`.

        Raises:
            ValueError: a number out of range, or another shape.
        """
        numbers = np.asarray(actions)
        numbers = np.where(self._ended[:, None], 0, numbers) if numbers.shape == self.action_space.shape else numbers
        if numbers not in self.action_space:
            raise ValueError(f"actions must be integers in {self.action_space}")
        observation, reward, terminated, truncated, info = self.users.step(slates_of(numbers, self._free))
        self._ended = terminated | truncated
        return self._flat(observation), reward, terminated, truncated, info

    def _flat(self, observation: Observation) -> Floats:
        self._free = _present(observation, self.users.problem.width)
        return flat(self.users.single_observation_space, observation)  # type: ignore[arg-type]

    def close_extras(self, **kwargs: Any) -> None:
        """Close the users."""
        self.users.close()


class FlatEnv(gymnasium.Env[Floats, Any]):
    """One user with flat observations and slates chosen together; otherwise as `SlateEnv`."""

    metadata: ClassVar[dict[str, Any]] = SlateEnv.metadata  # type: ignore[misc]
    marks = 0  # numbers after the observation

    def __init__(self, user: SlateEnv) -> None:
        """Take the user."""
        self.user, self.render_mode, problem = user, user.render_mode, user.config.spec
        self.width, self.slate_size = problem.width, problem.slate_size
        self.observation_space = flat_space(user.observation_space, self.marks * self.width)
        self.action_space: spaces.Space[Any] = _numbers(self.width, self.slate_size)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """Start a new user."""
        super().reset(seed=seed)
        observation, info = self.user.reset(seed=seed, options=options)
        return self._flat(observation), info

    def step(self, action: Any) -> Step:
        """Show the slate that the numbers `[k]` mean.

        Raises:
            ValueError: a number out of range, or another shape.
        """
        self._check(action)
        return self._show(slates_of(np.asarray(action)[None], self._free)[0])

    def _check(self, action: Any) -> None:
        if action not in self.action_space:
            raise ValueError(f"action {action} must be in {self.action_space}")

    def _show(self, slate: NDArray[np.int64]) -> Step:
        observation, *rest = self.user.step(slate)
        return self._flat(observation), *rest  # type: ignore[return-value]

    def _flat(self, observation: Observation) -> Floats:
        batch = _one(observation)
        self._free = _present(batch, self.width)
        return flat(self.user.observation_space, batch)[0]  # type: ignore[arg-type]

    def render(self) -> str | None:  # type: ignore[override]
        """See `SlateEnv.render`."""
        return self.user.render()

    def hidden_state(self) -> dict[str, NDArray[Any]]:
        """See `SlateEnv.hidden_state`."""
        return self.user.hidden_state()


class SequentialEnv(FlatEnv):
    """One user whose slate is chosen in k steps; only the last of them has a reward.

    `action_masks()` and `info["action_mask"]` say which candidates may be chosen. Another is replaced by the next one
    that may, so that a policy without masks can play as well.
    """

    marks = 1

    def __init__(self, user: SlateEnv) -> None:
        """Take the user."""
        super().__init__(user)
        self.action_space = spaces.Discrete(self.width)
        self._picks: list[int] = []

    def action_masks(self) -> NDArray[np.bool_]:
        """Return which candidates may be chosen, `[C]`, by the name that sb3-contrib looks for."""
        mask: NDArray[np.bool_] = self._free[0].copy()
        mask[self._picks] = False
        return mask

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """Start a new user, with an empty slate."""
        self._picks = []
        self._base, info = super().reset(seed=seed, options=options)
        return self._marked(), {**info, **self._mask_info()}

    def step(self, action: Any) -> Step:
        """Put a candidate into the slate, and show it if it is full.

        Raises:
            ValueError: a number out of range.
            gymnasium.error.ResetNeeded: before the first `reset`, or after the episode's end.
        """
        self._check(action)
        if self.user.over:
            raise error.ResetNeeded("call reset before step, and after an episode's end")
        allowed = np.flatnonzero(self.action_masks())
        self._picks.append(int(allowed[np.searchsorted(allowed, action) % len(allowed)]))
        if len(self._picks) < min(self.slate_size, int(self._free.sum())):
            return self._marked(), 0.0, False, False, self._mask_info()
        slate = np.full(self.slate_size, -1)
        slate[: len(self._picks)] = self._picks
        self._picks = []
        self._base, reward, terminated, truncated, info = self._show(slate)
        return self._marked(), reward, terminated, truncated, {**info, **self._mask_info()}

    def _marked(self) -> Floats:
        chosen = np.zeros(self.width, np.float32)
        chosen[self._picks] = 1
        return np.append(self._base, chosen)

    def _mask_info(self) -> dict[str, Any]:
        return {"action_mask": self.action_masks().astype(np.int8)}


def _one(observation: Observation) -> Observation:
    """Return one user's observation as that of N = 1."""
    return {key: _one(value) if isinstance(value, dict) else value[None] for key, value in observation.items()}
