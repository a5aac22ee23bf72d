"""The slate of greatest value under a conditional choice model, exactly.

A user who clicks item i of slate A with probability `v_i / (v_null + sum_A v)` makes the slate worth

    value(A) = (v_null * q_null + sum_A v_i * q_i) / (v_null + sum_A v_i)

Maximising this ratio over slates of size k is the paper's linear-fractional program (Ie et al. 2019, arXiv
1905.12767, section 4.3). Dinkelbach's method solves it without a solver: for a guess x of the optimum, the slate
of the k largest `v_i * (q_i - x)` is the best reply, and its value is the next guess. Guesses only rise, and the
method ends at the optimum after a handful of rounds. If slates are few, valuing all of them takes less time.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from recsys_cli.slates.enumeration import all_slates, memberships

# Dinkelbach's method converges superlinearly: 10 rounds were the most seen at C = 1,000.
MAX_ROUNDS = 40
TOLERANCE = 1e-6  # a smaller rise is rounding, or a tie
FEW = 200  # slates that are valued in an eighth of the time that the rounds take
NEVER = -1e9  # log-weight of what cannot be drawn: its probability is 0, and so is that times this


def slate_values(v: Tensor, q: Tensor, v_null: Tensor, q_null: Tensor) -> Tensor:
    """Return the value of each slate, `[B]`.

    Args:
        v: choice scores of the shown items, `[B, k]`, not negative.
        q: their values, `[B, k]`.
        v_null: score of not clicking, `[B]`, not negative.
        q_null: value of not clicking, `[B]`.

    A slate that nobody can react to (all scores zero) is worth `q_null`.
    """
    mass = v_null + v.sum(-1)
    value = (v_null * q_null + (v * q).sum(-1)) / mass.clamp_min(torch.finfo(v.dtype).tiny)
    return torch.where(mass > 0, value, q_null)


def optimal_slates(
    v: Tensor, q: Tensor, v_null: Tensor, q_null: Tensor, k: int, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the best slate of k different candidates and its value.

    Args:
        v: choice scores of the candidates, `[B, C]`, not negative.
        q: their values, `[B, C]`, of any sign.
        v_null: score of not clicking, `[B]`, not negative.
        q_null: value of not clicking, `[B]`.
        k: slate size, at most C.
        mask: which candidates are present, `[B, C]`; None: all are.

    Returns:
        Indices `[B, k]` in falling order of `v * (q - value)`, and the slates' values `[B]`. If fewer than k candidates
        are there, all of them and then -1.
    """
    v = only(v, mask, 0.0)  # what is not there is never clicked
    if k == v.shape[-1]:
        value = slate_values(v, q, v_null, q_null)
        return shown(only(v * (q - value[:, None]), mask).argsort(-1, descending=True), mask), value
    if torch.compiler.is_compiling() and v.is_cuda:
        return _in_one_kernel(v, q, v_null, q_null, k, mask)
    if _are_few(v, k, mask):
        return _best_of_all(v, q, v_null, q_null, k)
    if torch.compiler.is_compiling():  # a loop in a graph takes no two tensors of one memory
        q, q_null, v, v_null = q.clone(), q_null.clone(), v.clone(), v_null.clone()
    # Any first guess will do; the value of showing all candidates is close.
    slate, value = _best_reply(v, q, v_null, q_null, k, slate_values(v, q, v_null, q_null), mask)

    def improve(slate: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        reply, better = _best_reply(v, q, v_null, q_null, k, value, mask)
        # At the optimum a slate that nobody can react to ties with the best one, but may be worth less. The best one in
        # another order may be worth less by rounding: the last order is right.
        slate = torch.where((better >= value - TOLERANCE * value.abs())[:, None], reply, slate)
        settled = (better - value <= TOLERANCE * value.abs()).all()
        return slate, torch.maximum(value, better), settled

    slate, value = _until_settled(improve, slate, value)
    if not torch.compiler.is_compiling() and bool((v_null > 0).all()):
        return shown(slate, mask), value
    # Rounds rank by what a click gains, and a slate that nobody can react to gains nothing: it is looked at apart.
    inert = only(v, mask, math.inf).topk(k, dim=-1, largest=False).indices
    better = (v_null + v.gather(-1, inert).sum(-1) == 0) & (q_null > value)
    return shown(torch.where(better[:, None], inert, slate), mask), torch.where(better, q_null, value)


def optimal_values(v: Tensor, q: Tensor, v_null: Tensor, q_null: Tensor, k: int, mask: Tensor | None = None) -> Tensor:
    """Return the values `[B]` of the best slates alone; arguments as for `optimal_slates`."""
    if _are_few(v, k, mask):
        return _all_values(v, q, v_null, q_null, k).amax(-1)
    return optimal_slates(v, q, v_null, q_null, k, mask)[1]


def _are_few(v: Tensor, k: int, mask: Tensor | None) -> bool:
    return mask is None and math.comb(v.shape[-1], k) <= FEW


def only(values: Tensor, mask: Tensor | None, otherwise: float = -math.inf) -> Tensor:
    """Return the values `[B, C]` of present candidates, and `otherwise` for the rest."""
    return values if mask is None else values.masked_fill(~mask, otherwise)


def shown(slates: Tensor, mask: Tensor | None) -> Tensor:
    """Return slates `[B, k]` with -1 in place of missing candidates; these come last."""
    return slates if mask is None else slates.masked_fill(~mask.gather(-1, slates), -1)


def of_shown(values: Tensor, slates: Tensor) -> Tensor:
    """Return the values `[B, k]` of the candidates in slates, of `[B, C]`; 0 at positions that hold -1."""
    return values.gather(-1, slates.clamp_min(0)).masked_fill(slates < 0, 0.0)


def _all_values(v: Tensor, q: Tensor, v_null: Tensor, q_null: Tensor, k: int) -> Tensor:
    """Return the values of all slates, `[B, M]`, in the order of `all_slates`; their sums are matrix products."""
    member = memberships(v.shape[-1], k, v.device).to(v.dtype)
    mass, worth = torch.addmm(v_null[:, None], v, member), torch.addmm((v_null * q_null)[:, None], v * q, member)
    return torch.where(mass > 0, worth / mass.clamp_min(torch.finfo(v.dtype).tiny), q_null[:, None])


def _best_of_all(v: Tensor, q: Tensor, v_null: Tensor, q_null: Tensor, k: int) -> tuple[Tensor, Tensor]:
    value, best = _all_values(v, q, v_null, q_null, k).max(-1)
    slate = all_slates(v.shape[-1], k, False, v.device)[best]
    order = (v * (q - value[:, None])).gather(-1, slate).argsort(stable=True, dim=-1, descending=True)
    return slate.gather(-1, order), value


@torch.library.custom_op("recsys_cli::optimal_slates", mutates_args=(), device_types="cuda")
def _in_one_kernel(
    v: Tensor, q: Tensor, v_null: Tensor, q_null: Tensor, k: int, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Do the same on the GPU without synchronising with the CPU, so that it fits in a CUDA graph."""
    from recsys_cli.slates.kernel import solve  # Triton comes with GPU builds of PyTorch

    return solve(v, q, v_null, q_null, k, MAX_ROUNDS, TOLERANCE, mask)


@_in_one_kernel.register_fake
def _(v: Tensor, q: Tensor, v_null: Tensor, q_null: Tensor, k: int, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    return torch.empty((len(v), k), dtype=torch.int64, device=v.device), torch.empty_like(v[:, 0])


def _until_settled(
    improve: Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]], slate: Tensor, value: Tensor
) -> tuple[Tensor, Tensor]:
    """Repeat `improve` until it reports convergence, at most `MAX_ROUNDS` times."""
    if torch.compiler.is_compiling():  # the same as a part of the graph

        def again(slate: Tensor, value: Tensor, settled: Tensor, rounds: Tensor) -> Tensor:
            return ~settled & (rounds < MAX_ROUNDS)

        def once(slate: Tensor, value: Tensor, settled: Tensor, rounds: Tensor) -> tuple[Tensor, ...]:
            return *improve(slate, value), rounds + 1

        begin = (
            torch.zeros((), dtype=torch.bool, device=value.device),
            torch.zeros((), dtype=torch.int64, device=value.device),
        )
        slate, value, *_ = torch.while_loop(again, once, (slate, value, *begin))
        return slate, value
    for _ in range(MAX_ROUNDS):
        slate, value, settled = improve(slate, value)
        if settled:
            break
    return slate, value


def _best_reply(
    v: Tensor, q: Tensor, v_null: Tensor, q_null: Tensor, k: int, guess: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the slate of the k largest `v * (q - guess)` and its value."""
    slate = only(v * (q - guess[:, None]), mask).topk(k, dim=-1).indices
    return slate, slate_values(v.gather(-1, slate), q.gather(-1, slate), v_null, q_null)
