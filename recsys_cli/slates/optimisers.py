"""The slate optimisers by the names that configs use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from recsys_cli.slates.heuristics import greedy_slates, top_k_slates
from recsys_cli.slates.optimal import optimal_slates

SlateOptimiser = Callable[[Tensor, Tensor, Tensor, Tensor, int], tuple[Tensor, Tensor]]
"""`(v [B, C], q [B, C], v_null [B], q_null [B], k)` -> slates `[B, k]` and their values `[B]`."""

OptimiserName = Literal["top_k", "greedy", "optimal"]

OPTIMISERS: dict[str, SlateOptimiser] = {"top_k": top_k_slates, "greedy": greedy_slates, "optimal": optimal_slates}


def whole_slates(
    v: Tensor,
    q: Tensor,
    v_null: Tensor,
    q_null: Tensor,
    k: int,
    attended: int,
    optimise: SlateOptimiser = optimal_slates,
) -> Tensor:
    """Return slates `[B, k]` for users who look at the first `attended` positions only.

    Those hold the slate that `optimise` finds for that size; the others are filled up by falling value.
    """
    best, _ = optimise(v, q, v_null, q_null, attended)
    if attended == k:
        return best
    rest = q.scatter(-1, best, -torch.inf).topk(k - attended, dim=-1).indices
    return torch.cat([best, rest], dim=-1)
