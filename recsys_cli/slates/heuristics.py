"""The SlateQ paper's two cheaper slate optimisers (Ie et al. 2019, arXiv 1905.12767, section 5.2).

The paper states both for a no-click worth nothing. A constant added to all values, including the null item's, changes
no comparison of slates, so here they rank by `q - q_null`, which is the paper's ranking if `q_null` is 0.
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

    Arguments and result are those of `optimal_slates`. Competition between the items of a slate is ignored.
    """
    v = only(v, mask, 0.0)
    slate = only(v * (q - q_null[:, None]), mask).topk(k, dim=-1).indices
    return shown(slate, mask), slate_values(v.gather(-1, slate), q.gather(-1, slate), v_null, q_null)


def greedy_slates(
    v: Tensor, q: Tensor, v_null: Tensor, q_null: Tensor, k: int, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the slate built by adding, k times, the candidate that gives the most valuable slate, and its value.

    Arguments and result are those of `optimal_slates`, in order of adding. A later candidate may be worth less than the
    slate so far, so that every addition lowers its value; then the one that lowers it least is added.
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
