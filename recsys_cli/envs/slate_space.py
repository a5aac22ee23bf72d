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
    """Return for each slate (last axis) whether it holds a candidate twice."""
    size = slates.shape[-1]
    if size > PAIRWISE_LIMIT:
        ordered = np.sort(slates, axis=-1)
        return np.asarray((ordered[..., 1:] == ordered[..., :-1]).any(axis=-1))
    found = np.zeros(slates.shape[:-1], np.bool_)
    for first in range(size):
        for second in range(first + 1, size):
            found |= slates[..., first] == slates[..., second]
    return found


def refuse_repeats(slates: NDArray[np.integer]) -> None:
    """Raise a `ValueError` for the first slate that holds a candidate twice."""
    rows = repeats(slates).nonzero()[0]
    if rows.size:
        raise ValueError(f"slate {slates[rows[0]].tolist()} of user {rows[0]} holds a candidate twice")


def refuse_unknown(slates: NDArray[np.intp], candidates: int) -> None:
    """Raise a `ValueError` for the first slate that holds a number which none of so many candidates has."""
    unsigned = slates.view(np.uintp)  # a negative number is a huge one: one comparison sees both ends
    if unsigned.max() >= candidates:
        row = int(np.flatnonzero((unsigned >= candidates).any(axis=1))[0])
        raise ValueError(f"slate {slates[row].tolist()} of user {row} must hold candidates 0..{candidates - 1}")


def refuse_short_slates(slates: NDArray[np.intp], mask: NDArray[np.bool_]) -> None:
    """Raise a `ValueError` unless slates hold present candidates, as many as there are up to k, and then -1.

    Args:
        slates: `[N, k]`.
        mask: which candidates are present, `[N, C]`.
    """
    size, there = slates.shape[1], mask.sum(axis=1)
    wrong = (slates >= 0) != (np.arange(size) < np.minimum(there, size)[:, None])
    wrong |= (slates < -1) | (slates >= mask.shape[1])
    wrong |= (slates >= 0) & ~np.take_along_axis(mask, np.clip(slates, 0, mask.shape[1] - 1), axis=1)
    if wrong.any():
        row = int(np.flatnonzero(wrong.any(axis=1))[0])
        raise ValueError(
            f"slate {slates[row].tolist()} of user {row} must hold {min(there[row], size)} of the "
            f"{there[row]} candidates that are present, padded with -1"
        )
    refuse_repeats(without_padding(slates))


def without_padding(slates: NDArray[np.integer]) -> NDArray[np.integer]:
    """Return slates with a different negative number in place of each -1, so that none repeats another."""
    return np.where(slates < 0, -1 - np.arange(slates.shape[-1]), slates)


class SlateSpace(MultiDiscrete):
    """Slates of `slate_size` distinct candidates out of `num_candidates`, in order.

    gymnasium's `MultiDiscrete([C] * k)`, but `sample` never repeats a candidate and `contains` refuses repeats.
    With `num_envs`, a batch of them: `[num_envs, slate_size]`. With `shorter`, a slate may end in -1: no document.
    """

    def __init__(
        self,
        num_candidates: int,
        slate_size: int,
        num_envs: int | None = None,
        seed: int | np.random.Generator | None = None,
        *,
        shorter: bool = False,
    ) -> None:
        """Build the space of one slate, or of `num_envs` slates."""
        self.num_candidates, self.slate_size, self.num_envs = num_candidates, slate_size, num_envs
        self.shorter = shorter
        shape = (slate_size,) if num_envs is None else (num_envs, slate_size)
        super().__init__(np.full(shape, num_candidates), seed=seed)

    def sample(self, mask: Any = None, probability: Any = None) -> NDArray[np.int64]:
        """Draw uniformly among the valid slates.

        Args:
            mask: which candidates are present, bool `[C]` or, of a batch, `[num_envs, C]`; None: all are.
            probability: not supported for slates.

        Raises:
            ValueError: probabilities are given, or a mask of another shape.
        """
        users = self.num_envs or 1
        if probability is not None:
            raise ValueError("SlateSpace.sample takes no probability")
        if mask is not None:
            mask = np.asarray(mask, bool).reshape(-1, self.num_candidates)
            if len(mask) != users:
                raise ValueError(f"mask has {len(mask)} rows and must have {users}")
        slates = uniform_slates(self.np_random, users, self.num_candidates, self.slate_size, mask)
        return slates[0] if self.num_envs is None else slates

    def contains(self, x: Any) -> bool:
        """Return whether `x` is a valid slate (or batch of slates)."""
        slates = np.asarray(x)
        if self.shorter and slates.dtype.kind in "iu":
            ends = np.diff((slates >= 0).astype(int), axis=-1) <= 0  # nothing after the first -1
            valid = super().contains(np.maximum(slates, 0)) and slates.min() >= -1 and ends.all()
            return bool(valid) and not repeats(without_padding(slates)).any()
        return super().contains(x) and not repeats(slates).any()

    def __repr__(self) -> str:
        """Name the space and its sizes."""
        return f"SlateSpace({self.num_candidates}, {self.slate_size}, num_envs={self.num_envs})"


@batch_space.register(SlateSpace)
def _batch_slate_space(space: SlateSpace, n: int = 1) -> SlateSpace:
    rng = deepcopy(space.np_random)
    return SlateSpace(space.num_candidates, space.slate_size, n, seed=rng, shorter=space.shorter)
