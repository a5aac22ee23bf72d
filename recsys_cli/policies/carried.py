"""Session memories carried between calls as one array, by servers that keep nothing of a session themselves.

The array `[N, S]` holds, for each user,

    served [1]   whether a slate was shown before; 0 begins a session
    slate [k]    that slate
    shown [k F]  its documents
    state [M]    what `Memory.get_state` returns

and the response to that slate, which comes with the next observation, is added before the policy acts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.config.errors import ConfigError
from recsys_cli.envs.finite import is_finite
from recsys_cli.policies.memory import Memory

if TYPE_CHECKING:
    from recsys_cli.envs.spec import ProblemSpec

Floats = NDArray[np.float32]

MOST_CANDIDATES = (
    1_000_000  # in one request, so that a forged array cannot make `Carried.recall` allocate without limit
)


class Carried:
    """The layout of the array.

    Attributes:
        shapes: of the arrays of a memory's state, for one user, by name; none if it remembers nothing.
        size: length S of a user's array; 0 if the memory remembers nothing.
        state_size: length M of a user's state.
    """

    def __init__(self, spec: ProblemSpec, memory: Memory) -> None:
        """Take the problem, and any memory of the kind to be carried."""
        self.spec, self.slate_size = spec, spec.slate_size
        self.shapes = {name: value.shape[1:] for name, value in memory.get_state().items()}
        self.shown = (spec.slate_size, len(spec.documents))
        self.state_size = sum(map(math.prod, self.shapes.values()))
        self.size = 1 + spec.slate_size + math.prod(self.shown) + self.state_size if self.shapes else 0

    def recall(self, memory: Memory, packed: Floats, response: Mapping[str, NDArray[Any]]) -> None:
        """Set a memory to what `packed` `[N, S]` says, then add the response `[N, k]` to the slate shown before."""
        k, served = self.slate_size, packed[:, 0] > 0
        self.restore(memory, packed[:, -self.state_size :])
        if not served.any():
            return
        slates = packed[:, 1 : k + 1].astype(np.int64)
        shown = packed[:, 1 + k : -self.state_size].reshape(-1, *self.shown)
        # Only the shown documents are known; a memory needs no others. -1 is the last, of zeros.
        if self.spec.varying or self.spec.resample_documents:  # candidates' numbers mean nothing at another step
            doc = np.zeros((len(packed), k + 1, self.shown[1]), np.float32)
            doc[:, :k], slates = shown, np.where(slates >= 0, np.arange(k), -1)
        else:
            doc = np.zeros((len(packed), int(slates.max()) + 2, self.shown[1]), np.float32)
            doc[np.arange(len(packed))[:, None], slates] = shown
        memory.step({"doc": doc}, slates, {"response": response}, ~served)

    def check(self, packed: Floats) -> None:
        """Refuse an array `[N, S]`, from who knows where, that `pack` cannot have returned.

        Raises:
            ConfigError: in one line.
        """
        slates = packed[:, 1 : self.slate_size + 1]
        if not (is_finite(packed) and (slates >= -1).all() and (slates < MOST_CANDIDATES).all()):
            raise ConfigError("input 'memory' is neither zeros nor an array returned by this policy")

    def pack(self, state: Floats, slates: NDArray[np.int64], doc: NDArray[Any]) -> Floats:
        """Return the array `[N, S]` after slates were shown.

        Args:
            state: what `state` returned before, `[N, M]`.
            slates: `[N, k]`, -1 for no document.
            doc: candidates, `[N, C, F]`.
        """
        users, k = slates.shape
        packed = np.empty((users, self.size), np.float32)
        packed[:, 0] = 1
        packed[:, 1 : k + 1] = slates
        packed[:, k + 1 : -self.state_size] = doc[np.arange(users)[:, None], slates].reshape(users, -1)
        packed[:, -self.state_size :] = state
        return packed

    def state(self, memory: Memory) -> Floats:
        """Return a memory's state as one array `[N, M]`."""
        state = memory.get_state()
        return np.concatenate([state[name].reshape(len(state[name]), -1) for name in self.shapes], axis=1)

    def restore(self, memory: Memory, state: Floats) -> None:
        """Set a memory to what `state` returned."""
        arrays, at = {}, 0
        for name, shape in self.shapes.items():
            size = math.prod(shape)
            arrays[name], at = state[:, at : at + size].reshape(-1, *shape), at + size
        memory.set_state(arrays)
