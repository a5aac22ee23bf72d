"""The slates of the SlateQ paper's two cheaper optimisers (Ie et al. 2019, arXiv 1905.12767, section 5.2).

Both are stated there for a no-click worth nothing. A constant added to all values, the null item's too, changes no
comparison of slates, so here they rank by `q - q_null`, which is the paper's ranking where `q_null` is 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recsys_cli.slates.optimal import only, shown, slate_values

LARGE = 1e30  # beyond any value of a slate


def top_k_slates(
    v: Tensor, q: Tensor, v_null: Tensor, q_null: Tensor, k: int, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the k candidates of greatest `v * (q - q_null)`, in falling order, and the slate's value.

    Arguments and result are those of `optimal_slates`. What the items of a slate take from each other is ignored.
    """
    v = only(v, mask, 0.0)
    slate = only(v * (q - q_null[:, None]), mask).topk(k, dim=-1).indices
    return shown(slate, mask), slate_values(v.gather(-1, slate), q.gather(-1, slate), v_null, q_null)


def greedy_slates(
    v: Tensor, q: Tensor, v_null: Tensor, q_null: Tensor, k: int, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the slate built by adding, k times, the candidate that makes the slate so far worth most, and its value.

    Arguments and result are those of `optimal_slates`; the order is that of adding. A candidate added later may be
    worth less than the slate so far, which then loses by every addition, but least by this one.
    """
    v, gain = only(v, mask, 0.0), q - q_null[:, None]
    mass, worth = v_null[:, None], torch.zeros_like(v_null)[:, None]
    taken = torch.zeros_like(v, dtype=torch.bool)
    picks = []
    for _ in range(k):
        # With no mass at all nothing is ever chosen: such an addition is worth the null, that is 0.
        total = (mass + v).clamp_min(torch.finfo(v.dtype).tiny)
        after = only((worth + v * gain) / total, mask, -LARGE)  # above what is taken: none is taken twice
        pick = after.masked_fill(taken, -torch.inf).argmax(-1, keepdim=True)
        picks.append(pick)
        taken = taken.scatter(-1, pick, True)
        chosen = v.gather(-1, pick)
        mass, worth = mass + chosen, worth + chosen * gain.gather(-1, pick)
    slate = torch.cat(picks, dim=-1)
    return shown(slate, mask), slate_values(v.gather(-1, slate), q.gather(-1, slate), v_null, q_null)
