"""The action space: slates of distinct candidates."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
from gymnasium.spaces import MultiDiscrete
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from recsys_cli.slates.uniform import uniform_slates

PAIRWISE_LIMIT = 6  # up to this slate size comparing all pairs of positions is cheaper than sorting


def repeats(slates: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Tell for each slate (last axis) whether it holds a candidate twice."""
    size = slates.shape[-1]
    if size > PAIRWISE_LIMIT:
        ordered = np.sort(slates, axis=-1)
        return np.asarray((ordered[..., 1:] == ordered[..., :-1]).any(axis=-1))
    found = np.zeros(slates.shape[:-1], np.bool_)
    for first in range(size):
        for second in range(first + 1, size):
            found |= slates[..., first] == slates[..., second]
    return found


class SlateSpace(MultiDiscrete):
    """Slates of `slate_size` distinct candidates out of `num_candidates`, in order.

    gymnasium's `MultiDiscrete([C] * k)`, but `sample` never repeats a candidate and `contains` refuses repeats.
    With `num_envs`, a batch of them: `[num_envs, slate_size]`.
    """

    def __init__(
        self,
        num_candidates: int,
        slate_size: int,
        num_envs: int | None = None,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        """Build the space of one slate, or of `num_envs` slates."""
        self.num_candidates, self.slate_size, self.num_envs = num_candidates, slate_size, num_envs
        shape = (slate_size,) if num_envs is None else (num_envs, slate_size)
        super().__init__(np.full(shape, num_candidates), seed=seed)

    def sample(self, mask: Any = None, probability: Any = None) -> NDArray[np.int64]:
        """Draw uniformly among the valid slates.

        Raises:
            ValueError: a mask or probabilities are given; they would not mean one thing for distinct candidates.
        """
        if mask is not None or probability is not None:
            raise ValueError("SlateSpace.sample takes neither mask nor probability")
        slates = uniform_slates(self.np_random, self.num_envs or 1, self.num_candidates, self.slate_size)
        return slates[0] if self.num_envs is None else slates

    def contains(self, x: Any) -> bool:
        """Tell whether `x` is a valid slate (or batch of slates)."""
        return super().contains(x) and not repeats(np.asarray(x)).any()

    def __repr__(self) -> str:
        """Name the space and its sizes."""
        return f"SlateSpace({self.num_candidates}, {self.slate_size}, num_envs={self.num_envs})"


@batch_space.register(SlateSpace)
def _batch_slate_space(space: SlateSpace, n: int = 1) -> SlateSpace:
    return SlateSpace(space.num_candidates, space.slate_size, n, seed=deepcopy(space.np_random))
