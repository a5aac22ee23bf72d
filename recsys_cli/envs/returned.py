"""What a simulator's methods return, held against what its spec declares.

A person's own simulator is the least tested code of a training. Shapes, dtypes and names are compared at every step,
which takes microseconds; values and shared memory at the first reset, the first step, and then ever more rarely.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.config.errors import ConfigError
from recsys_cli.envs.spec import DENSE, ResponseField

if TYPE_CHECKING:
    from recsys_cli.envs.vector import Advance, SlateVectorEnv

LAST_LOOK = 1024  # observation whose values are the last to be looked at
ROUNDING = 1e-5  # by which a value may miss its bounds, relative to them


class Declared:
    """One array that a method returns.

    Attributes:
        what: the method, and which part of what it returns.
        where: the part of the spec that declares it; empty: every problem's is the same.
    """

    def __init__(self, what: str, where: str, shape: tuple[int, ...], axes: str, dtype: Any, *bounds: Any) -> None:
        """Take the shape, its axes' names, the dtype, and the lowest and the highest value if there are any."""
        self.what, self.where, self.shape, self.axes = what, where, shape, axes
        self.dtype, self.bounds = np.dtype(dtype), bounds

    def of(self, given: Any) -> NDArray[Any]:
        """Return what was given as a writable array of the declared dtype, cast if that changes no value.

        Raises:
            ConfigError: another shape, or values that the dtype cannot hold.
        """
        if type(given) is np.ndarray and given.dtype == self.dtype and given.shape == self.shape:
            return given if given.flags.writeable else given.copy()
        try:
            array = np.asarray(given)
        except (ValueError, TypeError):  # such as rows of different lengths
            raise ConfigError(self._message(type(given).__name__)) from None
        if array.shape != self.shape or array.dtype.kind not in "biuf":
            raise ConfigError(self._message(f"{array.dtype} {list(array.shape)}"))
        with np.errstate(invalid="ignore", over="ignore"):
            cast = array.astype(self.dtype)
        if self.dtype.kind != "f" and (changed := cast != array).any():
            raise ConfigError(self._message(f"{array.dtype} {array[changed][0]}"))
        return cast

    def _message(self, returned: str) -> str:
        shape = f"{self.dtype} {self.axes} = {list(self.shape)}"
        return f"{self.what} returned {returned} and must return {shape}{self.where and f', as {self.where} declares'}"

    def check_values(self, array: NDArray[Any], present: NDArray[np.bool_] | None = None) -> None:
        """Refuse values outside the bounds; only those of `present` candidates `[N, C]` count.

        Raises:
            ConfigError: names the first.
        """
        low, high = (np.broadcast_to(bound, array.shape) for bound in self.bounds)
        slack = ROUNDING * np.maximum(1.0, np.minimum(np.abs(low), np.abs(high)))
        outside = ~((array >= low - slack) & (array <= high + slack))  # written so that NaN is outside
        if present is not None:
            outside &= present.reshape(*present.shape, *(1,) * (array.ndim - 2))
        if outside.any():
            at = tuple(int(i) for i in np.argwhere(outside)[0])
            raise ConfigError(
                f"{self.what} returned {array[at]:g} at {list(at)} of {self.axes}; "
                f"{self.where} declares {low[at]:g} to {high[at]:g}"
            )


class Returned:
    """What the methods of one env return."""

    def __init__(self, env: SlateVectorEnv) -> None:
        """Read the env's spec."""
        spec, users, name = env.problem, env.num_envs, type(env).__name__
        self.name = name
        features, doc = spec.documents.features, spec.documents.space(spec.width, env.doc_format)
        axes = "[N, C, F]" if env.doc_format == DENSE else "[N, C]"
        bounds = features.bounds if env.doc_format == DENSE else (0, spec.documents.numbers - 1)
        self.user = Declared(
            f"{name}._user", "spec.user", (users, len(spec.user)), "[N, U]", np.float32, *spec.user.bounds
        )
        self.documents = Declared(f"{name}._documents", "spec.documents", (users, *doc.shape), axes, doc.dtype, *bounds)
        self.response = {
            each.name: Declared(
                f"{name}._advance (response {each.name!r})",
                f"spec.response (a {each.kind})",
                (users, spec.slate_size),
                "[N, k]",
                each.space(spec.slate_size).dtype,
                *_bounds(each),
            )
            for each in spec.response
        }
        self.reward = Declared(f"{name}._advance (reward)", "", (users,), "[N]", np.float64)
        self.terminated = Declared(f"{name}._advance (terminated)", "", (users,), "[N]", np.bool_)
        self._looks = 0

    def advance(self, given: Any) -> Advance:
        """Return response, reward and terminated as declared.

        Raises:
            ConfigError: something else was returned.
        """
        if not isinstance(given, tuple) or len(given) != 3 or not isinstance(given[0], dict):
            raise ConfigError(f"{self.name}._advance must return (response, reward, terminated), response a dict")
        response, reward, terminated = given
        if response.keys() != self.response.keys():
            raise ConfigError(
                f"{self.name}._advance returned the response fields {', '.join(map(str, response)) or 'none'}; "
                f"spec.response declares {', '.join(self.response)}"
            )
        fields = {field: declared.of(response[field]) for field, declared in self.response.items()}
        return fields, self.reward.of(reward), self.terminated.of(terminated)

    def look(self, env: SlateVectorEnv, observation: Mapping[str, Any], *more: NDArray[Any]) -> None:
        """Check the values of an observation, and that no array is one of the env's own; of few observations only.

        Args:
            env: returned it.
            observation: as handed out.
            more: other arrays that are written to or handed out.

        Raises:
            ConfigError: a value out of bounds, or the env's own memory.
        """
        self._looks += 1
        if self._looks > LAST_LOOK or self._looks & (self._looks - 1):  # the 1st, 2nd, 4th, 8th ...
            return
        horizon, longest = env.problem.horizon, int(env._steps.max())
        if horizon is not None and longest > horizon:
            raise ConfigError(
                f"{self.name}: an episode has lasted {longest} steps, and spec.horizon declares {horizon} at most: let "
                f"truncation={horizon} in the spec end it, or terminated from _advance"
            )
        self.user.check_values(observation["user"])
        self.documents.check_values(observation["doc"], observation.get("mask"))
        for field, declared in self.response.items():
            declared.check_values(observation["response"][field])
        for array in (observation["user"], observation["doc"], *more):
            for attribute in _owners(env, array):
                raise ConfigError(
                    f"{self.name} returned its own array self.{attribute}, which it changes later: return a copy"
                )


def _bounds(field: ResponseField) -> tuple[float, float]:
    low, high = {"flag": (0.0, 1.0), "category": (0.0, field.high - 1)}.get(field.kind, (field.low, field.high))
    return min(low, 0.0), max(high, 0.0)


def _owners(env: SlateVectorEnv, array: NDArray[Any]) -> Iterator[str]:
    """Return the env's attributes that hold an array's memory."""
    own = ((name, value) for name, value in vars(env).items() if isinstance(value, np.ndarray))
    return (name for name, value in own if np.may_share_memory(array, value))
