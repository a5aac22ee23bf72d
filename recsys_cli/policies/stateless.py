"""A policy as a function of arrays: what a model server can call.

Inputs are the observation's arrays. A policy that remembers a session also takes `history`, an array that the caller
hands back as the answer before gave it and begins as zeros: whoever serves the policy keeps nothing between two calls,
so any number of servers may answer one session. In `history` stand, for each user,

    served [1]   whether a slate was shown before; 0 begins a session
    slate [k]    that slate
    shown [k F]  its documents
    ...          what `History.get_state` returns

and the response to that slate, which comes with the next observation, is added to it before the policy acts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.config.errors import ConfigError
from recsys_cli.policies.history import History

if TYPE_CHECKING:
    from recsys_cli.envs.base import EnvConfig
    from recsys_cli.policies.base import SlatePolicy

Arrays = dict[str, NDArray[Any]]
Floats = NDArray[np.float32]

MOST_CANDIDATES = 1_000_000  # in one slate's request, so that a `history` made up cannot ask for any amount of memory


@dataclass(frozen=True)
class ArraySpec:
    """An input or an output: name, dtype, and shape with -1 for any length (users first)."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class StatelessPolicy:
    """Answers arrays with arrays, as evaluation plays the policy.

    Attributes:
        history_size: length H of a user's `history`; 0 where the policy remembers nothing and takes none.
    """

    def __init__(self, env: EnvConfig, policy_for: Callable[[int], SlatePolicy]) -> None:
        """Take the problem, and a function from a number of candidates C to the policy for it."""
        self.env, self._policy_for = env, policy_for
        self._rng = np.random.Generator(np.random.SFC64(0))
        remembered = policy_for(env.num_candidates).new_history(1).get_state()
        self._shapes = {name: value.shape[1:] for name, value in remembered.items()}
        self._shown = (env.slate_size, env.doc_features)
        size = sum(math.prod(shape) for shape in self._shapes.values())
        self.history_size = 1 + env.slate_size + math.prod(self._shown) + size if self._shapes else 0

    @property
    def inputs(self) -> list[ArraySpec]:
        """`user` [N, U], `doc` [N, C, F]; where there is a history also the response's arrays [N, k] and `history`."""
        f32, env = np.dtype(np.float32), self.env
        specs = [
            ArraySpec("user", f32, (-1, env.user_features)),
            ArraySpec("doc", f32, (-1, -1, env.doc_features)),
        ]
        if self.history_size:
            response = env.response_space().items()
            specs += [ArraySpec(name, np.dtype(space.dtype), (-1, env.slate_size)) for name, space in response]
            specs.append(ArraySpec("history", f32, (-1, self.history_size)))
        return specs

    @property
    def outputs(self) -> list[ArraySpec]:
        """`slate` [N, k], candidate numbers; where there is a history also `history`."""
        slate = ArraySpec("slate", np.dtype(np.int64), (-1, self.env.slate_size))
        history = ArraySpec("history", np.dtype(np.float32), (-1, self.history_size))
        return [slate, history] if self.history_size else [slate]

    def example(self, users: int) -> Arrays:
        """Return inputs of users whose sessions begin, drawn by the problem itself."""
        vec = self.env.make_vec(users)
        try:
            observation, _ = vec.reset(seed=0)
        finally:
            vec.close()
        history = np.zeros((users, self.history_size), np.float32)
        given = {"user": observation["user"], "doc": observation["doc"], **observation["response"], "history": history}
        return {spec.name: given[spec.name] for spec in self.inputs}

    def __call__(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Choose slates.

        Raises:
            ConfigError: an input that is missing or of the wrong shape, or a number of candidates that the policy
                does not allow.
        """
        self._check(inputs)
        doc = inputs["doc"]
        policy = self._policy_for(doc.shape[1])
        history = policy.new_history(len(doc))
        if self.history_size:
            self._recall(history, inputs)
        slates = policy.served(history.extend({"user": inputs["user"], "doc": doc})).sample(self._rng)
        answer = {"slate": slates.astype(np.int64)}
        return answer | ({"history": self._packed(history, answer["slate"], doc)} if self.history_size else {})

    def _check(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        for spec in self.inputs:
            if spec.name not in inputs:
                raise ConfigError(f"input {spec.name!r} is missing; needed: {', '.join(s.name for s in self.inputs)}")
            shape, users = np.shape(inputs[spec.name]), len(inputs["user"])
            wanted = (users, *spec.shape[1:])
            if len(shape) != len(wanted) or any(w not in (-1, n) for n, w in zip(shape, wanted, strict=True)):
                told = str([n if n >= 0 else "C" for n in wanted]).replace("'", "")
                raise ConfigError(f"input {spec.name!r} has shape {list(shape)} and must have {told}")

    def _recall(self, history: History, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Set a history to what `history` says, then add the response to the slate shown before."""
        packed, k = np.asarray(inputs["history"], np.float32), self.env.slate_size
        served, slates = packed[:, 0] > 0, np.nan_to_num(packed[:, 1 : k + 1], nan=-1).astype(np.int64)
        if ((slates < 0) | (slates >= MOST_CANDIDATES)).any() or not np.isfinite(packed).all():
            raise ConfigError("input 'history' is neither zeros nor an array that this policy answered")
        at = 1 + k + math.prod(self._shown)
        shown, state = packed[:, 1 + k : at].reshape(-1, *self._shown), {}
        for name, shape in self._shapes.items():
            size = math.prod(shape)
            state[name], at = packed[:, at : at + size].reshape(-1, *shape), at + size
        history.set_state(state)
        if not served.any():
            return
        # Only the documents shown are known of the candidates then; a history asks for no other.
        doc = np.zeros((len(packed), int(slates.max()) + 1, self.env.doc_features), np.float32)
        doc[np.arange(len(packed))[:, None], slates] = shown
        response = {name: np.asarray(inputs[name]) for name in self.env.response_space()}
        history.step({"doc": doc}, slates, {"response": response}, ~served)

    def _packed(self, history: History, slates: NDArray[np.int64], doc: NDArray[Any]) -> Floats:
        state, users = history.get_state(), len(slates)
        shown = doc[np.arange(users)[:, None], slates]
        parts = [np.ones((users, 1)), slates, shown.reshape(users, -1)]
        parts += [state[name].reshape(users, -1) for name in self._shapes]
        return np.concatenate(parts, axis=1).astype(np.float32)
