"""Dinkelbach's method as one GPU kernel: each program takes a few rows through all their rounds.

As separate tensor operations a round is a dozen kernels, and the CPU waits for the GPU to know whether it was the last.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

TILE = 512  # numbers of a program's tile for each of its warps


def solve(
    v: Tensor,
    q: Tensor,
    v_null: Tensor,
    q_null: Tensor,
    k: int,
    rounds: int,
    tolerance: float,
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return slates `[B, k]` and values `[B]`; arguments as for `optimal_slates`, of at most so many rounds."""
    v, q = (part if part.stride(-1) == 1 else part.contiguous() for part in (v, q))
    there = v if mask is None else mask.contiguous()  # not read if nothing is masked
    rows, candidates = v.shape
    slate = torch.empty((rows, k), dtype=torch.int64, device=v.device)
    value = torch.empty(rows, dtype=v.dtype, device=v.device)
    columns = triton.next_power_of_2(candidates)
    tile_rows = max(TILE // columns, 1)
    numbers = (rows, candidates, v.stride(0), q.stride(0), v_null.stride(0), q_null.stride(0), rounds, tolerance)
    if rows:
        _solve[(triton.cdiv(rows, tile_rows),)](
            *(v, q, v_null, q_null, there, slate, value, *numbers),
            MASKED=mask is not None,
            ROWS=tile_rows,
            COLUMNS=columns,
            K=k,
            SLOTS=triton.next_power_of_2(k),
            num_warps=min(max(tile_rows * columns // TILE, 1), 8),
        )
    return slate, value


@triton.jit
def _solve(  # type: ignore[no-untyped-def]  # Triton's language
    v_at,
    q_at,
    v_null_at,
    q_null_at,
    there_at,
    slate_at,
    value_at,
    rows,
    candidates,
    v_stride,
    q_stride,
    v_null_stride,
    q_null_stride,
    rounds,
    tolerance,
    MASKED: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    K: tl.constexpr,
    SLOTS: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column, slot = tl.arange(0, COLUMNS), tl.arange(0, SLOTS)
    here = row < rows
    inside = here[:, None] & (column < candidates)[None, :]
    real = column[None, :] < candidates
    if MASKED:
        real &= tl.load(there_at + row[:, None] * candidates + column[None, :], mask=inside, other=0) != 0
        inside &= real
    v = tl.load(v_at + row[:, None] * v_stride + column[None, :], mask=inside, other=0.0)
    q = tl.load(q_at + row[:, None] * q_stride + column[None, :], mask=inside, other=0.0)
    v_null = tl.load(v_null_at + row * v_null_stride, mask=here, other=1.0)
    q_null = tl.load(q_null_at + row * q_null_stride, mask=here, other=0.0)
    worth = v * q
    guess = _value(tl.sum(v, 1), tl.sum(worth, 1), v_null, q_null)
    slate, mass, total = _largest(v * (q - guess[:, None]), real, v, worth, column, slot, K, MASKED)
    value = _value(mass, total, v_null, q_null)
    turn, going = 0, 1
    while (turn < rounds) & (going > 0):
        reply, mass, total = _largest(v * (q - value[:, None]), real, v, worth, column, slot, K, MASKED)
        better = _value(mass, total, v_null, q_null)
        slate = tl.where((better >= value - tolerance * tl.abs(value))[:, None], reply, slate)
        going = tl.max((better - value > tolerance * tl.abs(value)).to(tl.int32), 0)
        value = tl.maximum(value, better)
        turn += 1
    inert, mass, total = _largest(-v, real, v, worth, column, slot, K, MASKED)
    nothing = (v_null + mass == 0) & (q_null > value)
    slate = tl.where(nothing[:, None], inert, slate)
    value = tl.where(nothing, q_null, value)
    tl.store(slate_at + row[:, None] * K + slot[None, :], slate, mask=here[:, None] & (slot < K)[None, :])
    tl.store(value_at + row, value, mask=here)


@triton.jit
def _value(mass, total, v_null, q_null):  # type: ignore[no-untyped-def]  # as above
    """Return the value of slates by the sums of their items' `v` and `v * q`."""
    mass = v_null + mass
    return tl.where(mass > 0, (v_null * q_null + total) / tl.where(mass > 0, mass, 1.0), q_null)


@triton.jit
def _largest(score, real, v, worth, column, slot, K: tl.constexpr, MASKED: tl.constexpr):  # type: ignore[no-untyped-def]  # as above
    """Return the K columns of greatest score, falling, and the sums of their `v` and `worth`."""
    # Ties go to the left, so that columns beyond the candidates are never taken, not even among numbers gone wrong.
    score = tl.where(real & (score == score), score, -float("inf"))
    chosen = slot[None, :] + 0 * tl.argmax(score, 1)[:, None]
    mass, total = 0.0 * tl.sum(v, 1), 0.0 * tl.sum(v, 1)
    for j in range(K):
        best = tl.argmax(score, 1)
        hit = column[None, :] == best[:, None]
        if MASKED:  # fewer than K may be there
            there = tl.max(score, 1) > -float("inf")
            hit &= there[:, None]
            best = tl.where(there, best, -1)
        mass += tl.sum(tl.where(hit, v, 0.0), 1)
        total += tl.sum(tl.where(hit, worth, 0.0), 1)
        chosen = tl.where(slot[None, :] == j, best[:, None], chosen)
        score = tl.where(hit, -float("inf"), score)
    return chosen, mass, total
