"""The slate of greatest value under a conditional choice model, exactly.

A user who clicks item i of slate A with probability `v_i / (v_null + sum_A v)` makes the slate worth

    value(A) = (v_null * q_null + sum_A v_i * q_i) / (v_null + sum_A v_i)

Maximising this ratio over slates of size k is the paper's linear-fractional program (Ie et al. 2019, arXiv
1905.12767, section 4.3). Dinkelbach's method solves it without a solver: for a guess x of the optimum, the slate
of the k largest `v_i * (q_i - x)` is the best reply, and its value is the next guess. Guesses only rise, and the
method ends at the optimum after a handful of rounds.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# Dinkelbach's method converges superlinearly: 10 rounds were the most seen at C = 1,000.
MAX_ROUNDS = 40
TOLERANCE = 1e-6  # a smaller rise is rounding, or a tie


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


def optimal_slates(v: Tensor, q: Tensor, v_null: Tensor, q_null: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the best slate of k different candidates and its value.

    Args:
        v: choice scores of the candidates, `[B, C]`, not negative.
        q: their values, `[B, C]`, of any sign.
        v_null: score of not clicking, `[B]`, not negative.
        q_null: value of not clicking, `[B]`.
        k: slate size, at most C.

    Returns:
        Indices `[B, k]` in falling order of `v * (q - value)`, and the slates' values `[B]`.
    """
    if k == v.shape[-1]:
        value = slate_values(v, q, v_null, q_null)
        return (v * (q - value[:, None])).argsort(-1, descending=True), value
    if torch.compiler.is_compiling() and v.is_cuda:
        return _in_one_kernel(v, q, v_null, q_null, k)
    if torch.compiler.is_compiling():  # a loop in a graph takes no two tensors of one memory
        q, q_null, v, v_null = q.clone(), q_null.clone(), v.clone(), v_null.clone()
    # Any first guess will do; the value of showing all candidates is close.
    slate, value = _best_reply(v, q, v_null, q_null, k, slate_values(v, q, v_null, q_null))

    def improve(slate: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        reply, better = _best_reply(v, q, v_null, q_null, k, value)
        # At the optimum a slate that nobody can react to ties with the best one, but may be worth less.
        slate = torch.where((better >= value)[:, None], reply, slate)
        settled = (better - value <= TOLERANCE * value.abs()).all()
        return slate, torch.maximum(value, better), settled

    slate, value = _until_settled(improve, slate, value)
    if not torch.compiler.is_compiling() and bool((v_null > 0).all()):
        return slate, value
    # Rounds rank by what a click gains, and a slate that nobody can react to gains nothing: it is looked at apart.
    inert = v.topk(k, dim=-1, largest=False).indices
    better = (v_null + v.gather(-1, inert).sum(-1) == 0) & (q_null > value)
    return torch.where(better[:, None], inert, slate), torch.where(better, q_null, value)


@torch.library.custom_op("recsys_cli::optimal_slates", mutates_args=(), device_types="cuda")
def _in_one_kernel(v: Tensor, q: Tensor, v_null: Tensor, q_null: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Do the same on the GPU without the CPU's waiting for it, so that a CUDA graph can hold it."""
    from recsys_cli.slates.kernel import solve  # Triton is where PyTorch has a GPU, and where a compiler is needed

    return solve(v, q, v_null, q_null, k, MAX_ROUNDS, TOLERANCE)


@_in_one_kernel.register_fake
def _(v: Tensor, q: Tensor, v_null: Tensor, q_null: Tensor, k: int) -> tuple[Tensor, Tensor]:
    return torch.empty((len(v), k), dtype=torch.int64, device=v.device), torch.empty_like(v[:, 0])


def _until_settled(
    improve: Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]], slate: Tensor, value: Tensor
) -> tuple[Tensor, Tensor]:
    """Repeat `improve`, which tells whether it was the last time, at most `MAX_ROUNDS` times."""
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


def _best_reply(v: Tensor, q: Tensor, v_null: Tensor, q_null: Tensor, k: int, guess: Tensor) -> tuple[Tensor, Tensor]:
    """Return the slate of the k largest `v * (q - guess)` and its value."""
    slate = (v * (q - guess[:, None])).topk(k, dim=-1).indices
    return slate, slate_values(v.gather(-1, slate), q.gather(-1, slate), v_null, q_null)
