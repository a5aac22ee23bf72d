"""The slate optimisers by the names that configs use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from recsys_cli.slates.heuristics import greedy_slates, top_k_slates
from recsys_cli.slates.optimal import only, optimal_slates, shown

SlateOptimiser = Callable[[Tensor, Tensor, Tensor, Tensor, int, Tensor | None], tuple[Tensor, Tensor]]
"""`(v [B, C], q [B, C], v_null [B], q_null [B], k, mask [B, C])` -> slates `[B, k]` and their values `[B]`."""

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
    mask: Tensor | None = None,
) -> Tensor:
    """Return slates `[B, k]` for users who look at the first `attended` positions only.

    Those hold the slate that `optimise` finds for that size; the others are filled up by falling value, and by -1 if
    no more candidates are there (`mask` [B, C]).
    """
    best, _ = optimise(v, q, v_null, q_null, attended, mask)
    if attended == k:
        return best
    left = torch.ones_like(q, dtype=torch.bool) if mask is None else mask.clone()
    left.scatter_(-1, best.clamp_min(0), False)  # where nothing was there, nothing is left anyway
    rest = only(q, left).topk(k - attended, dim=-1).indices
    return torch.cat([best, shown(rest, left)], dim=-1)
