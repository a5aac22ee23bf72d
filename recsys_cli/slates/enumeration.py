"""All slates of a size, for methods that value each one."""

from __future__ import annotations

import math
from functools import cache
from itertools import combinations, permutations

import torch
from torch import Tensor

CPU = torch.device("cpu")


def count_slates(num_candidates: int, slate_size: int, ordered: bool) -> int:
    """Return how many slates of different candidates there are; where order does not matter, each set once."""
    return (math.perm if ordered else math.comb)(num_candidates, slate_size)


@torch.compiler.assume_constant_result
def all_slates(num_candidates: int, slate_size: int, ordered: bool, device: torch.device = CPU) -> Tensor:
    """Return every slate, `[M, k]` int64, on a device; sets have their candidates in rising order."""
    return _all_slates(num_candidates, slate_size, ordered, device)


@cache
def _all_slates(num_candidates: int, slate_size: int, ordered: bool, device: torch.device) -> Tensor:
    make = permutations if ordered else combinations
    return torch.tensor(list(make(range(num_candidates), slate_size)), device=device).reshape(-1, slate_size)
