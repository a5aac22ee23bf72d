"""The slate optimisers by the names that configs use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from recsys_cli.slates.heuristics import greedy_slates, top_k_slates
from recsys_cli.slates.optimal import optimal_slates, slate_values

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


def slate_scores(parts: Sequence[Tensor], slates: Tensor, attended: int) -> Tensor:
    """Return scores of the candidates, `[B, C]`, of which the k greatest, falling, are the slates `[B, k]`.

    They are `v * (q - value)` by the slate's value, which rank the optimal slate first. If another optimiser, or
    positions that the user doesn't look at, give another order, the same numbers are dealt out in the slate's.

    Args:
        parts: what a slate's value is made of: v, q, v_null, q_null (see `optimal_slates`).
        slates: `[B, k]`.
        attended: leading positions that the user looks at.
    """
    v, q, v_null, q_null = parts
    shown = slates[:, :attended]
    scores = v * (q - slate_values(v.gather(-1, shown), q.gather(-1, shown), v_null, q_null)[:, None])
    others = scores.scatter(-1, slates, -torch.inf).argsort(stable=True, dim=-1, descending=True)
    order = torch.cat([slates, others[:, : scores.shape[-1] - slates.shape[-1]]], dim=-1)
    return torch.empty_like(scores).scatter(-1, order, scores.sort(-1, descending=True).values)
