"""All slates of a given size, for methods that value each one."""

from __future__ import annotations

from functools import cache
from itertools import combinations, permutations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CPU = torch.device("cpu")


def all_slates(num_candidates: int, slate_size: int, ordered: bool, device: torch.device = CPU) -> Tensor:
    """Return every slate, `[M, k]` int64, on a device; sets have their candidates in rising order."""
    return _all_slates(num_candidates, slate_size, ordered, device)


# `torch.compiler.assume_constant_result` does only this, but imports the compiler: two CPU seconds in every command.
all_slates._dynamo_marked_constant = True  # type: ignore[attr-defined]


@cache
def _all_slates(num_candidates: int, slate_size: int, ordered: bool, device: torch.device) -> Tensor:
    make = permutations if ordered else combinations
    return torch.tensor(list(make(range(num_candidates), slate_size)), device=device).reshape(-1, slate_size)


def memberships(num_candidates: int, slate_size: int, device: torch.device = CPU) -> Tensor:
    """Return which candidates are in which set of `all_slates`, `[C, M]` of 0 and 1."""
    return _memberships(num_candidates, slate_size, device)


memberships._dynamo_marked_constant = True  # type: ignore[attr-defined]


@cache
def _memberships(num_candidates: int, slate_size: int, device: torch.device) -> Tensor:
    slates = _all_slates(num_candidates, slate_size, False, device)
    return torch.zeros(num_candidates, len(slates), device=device).scatter_(0, slates.T, 1.0)


def filled_up(
    leading: NDArray[Any], num_candidates: int, slate_size: int, mask: NDArray[Any] | None = None
) -> NDArray[np.int64]:
    """Return whole slates `[n, k]`: leading documents `[n, a]`, then the candidates left in rising order.

    If a mask `[n, C]` leaves fewer than k candidates, and in leading documents, -1 means none.
    """
    taken = np.zeros((len(leading), num_candidates), bool) if mask is None else ~mask
    row, place = np.nonzero(leading >= 0)
    taken[row, leading[row, place]] = True
    order = np.argsort(taken, axis=1, kind="stable")[:, : slate_size - leading.shape[1]]
    if mask is not None:
        order = np.where(np.take_along_axis(taken, order, axis=1), -1, order)
        missing = slate_size - leading.shape[1] - order.shape[1]
        order = np.pad(order, ((0, 0), (0, missing)), constant_values=-1)
    return np.concatenate([leading, order], axis=1)
