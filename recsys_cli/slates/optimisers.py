"""The slate optimisers by the names that configs use."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from recsys_cli.slates.heuristics import greedy_slates, top_k_slates
from recsys_cli.slates.optimal import NEVER, of_shown, only, optimal_slates, shown, slate_values

SlateOptimiser = Callable[[Tensor, Tensor, Tensor, Tensor, int, Tensor | None], tuple[Tensor, Tensor]]
"""`(v [B, C], q [B, C], v_null [B], q_null [B], k, mask [B, C])` -> slates `[B, k]` and their values `[B]`."""

Parts = tuple[Tensor, Tensor, Tensor, Tensor]
"""What a slate's value is made of: v, q, v_null, q_null (see `optimal_slates`)."""

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

    These hold the slate that `optimise` finds for that size; the others are filled by falling value, and with -1 if the
    candidates run out (`mask` [B, C]).
    """
    best, _ = optimise(v, q, v_null, q_null, attended, mask)
    if attended == k:
        return best
    left = torch.ones_like(q, dtype=torch.bool) if mask is None else mask.clone()
    left.scatter_(-1, best.clamp_min(0), False)  # if one is -1, no candidates are left anyway
    rest = only(q, left).topk(k - attended, dim=-1).indices
    return torch.cat([best, shown(rest, left)], dim=-1)


def slate_scores(parts: Parts, slates: Tensor, attended: int, mask: Tensor | None = None) -> Tensor:
    """Return scores of the candidates, `[B, C]`, of which the k greatest, falling, are the slates `[B, k]`.

    They are `v * (q - value)` with the slate's value, which rank the optimal slate first. If another optimiser, or
    positions that the user doesn't look at, give another order, the same numbers are reassigned in the slate's order.

    Args:
        parts: of a slate's value.
        slates: `[B, k]`.
        attended: leading positions that the user looks at.
        mask: which candidates are present, `[B, C]`; the scores of others mean nothing.
    """
    v, q, v_null, q_null = parts
    best = slates[:, :attended]
    value = slate_values(of_shown(v, best), of_shown(q, best), v_null, q_null)
    scores = only(v * (q - value[:, None]), mask, NEVER)
    falling = scores.sort(stable=True, dim=-1, descending=True)
    # A candidate's place on the slate; the others, behind it, keep the order of their scores.
    k, candidates = slates.shape[-1], scores.shape[-1]
    place = torch.full_like(scores, k, dtype=torch.int64)[:, :1].expand(-1, candidates + 1).clone()
    numbers = slates.masked_fill(slates < 0, candidates)
    place.scatter_(-1, numbers, torch.arange(k, device=slates.device).expand_as(slates))
    order = place[:, :candidates].gather(-1, falling.indices).argsort(stable=True, dim=-1)
    return torch.empty_like(scores).scatter(-1, falling.indices.gather(-1, order), falling.values)
