"""The slate optimisers in NumPy; definitions and sources are in `recsys_cli.slates`.

Each row is computed alone: neither other rows nor absent candidates behind those present change a bit of it. Of equals
the first comes first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys_cli.slates.heuristics import LARGE
from recsys_cli.slates.optimal import MAX_ROUNDS, NEVER
from recsys_cli.slates.ranking import greatest

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

TINY = np.finfo(np.float64).tiny


class Parts(NamedTuple):
    """What slates' values are made of (see `slates.optimal.optimal_slates`); the mask is [B, C], or None."""

    v: Floats
    q: Floats
    v_null: Floats
    q_null: Floats
    mask: Bools | None = None


SlateOptimiser = Callable[[Parts, int], Ints]
"""`(parts, k)` -> slates `[B, k]`, of at most as many candidates as there are columns; -1 for none."""


def only(values: Any, mask: Bools | None, otherwise: float = -np.inf) -> Any:
    """Return the values `[B, C]` of present candidates, and `otherwise` for the rest."""
    return values if mask is None else np.where(mask, values, otherwise)


def shown(slates: Ints, mask: Bools | None) -> Ints:
    """Return slates `[B, k]` with -1 in place of missing candidates."""
    return slates if mask is None else np.where(_at(mask, slates), slates, -1)


def best_scored(scores: Any, k: int, mask: Bools | None) -> Ints:
    """Return the slates `[B, k]` of the greatest scores, falling."""
    return shown(greatest(only(scores, mask), k), mask)


def top_k_slates(parts: Parts, k: int) -> Ints:
    """See `slates.heuristics.top_k_slates`."""
    return best_scored(parts.v * (parts.q - parts.q_null[:, None]), k, parts.mask)


def greedy_slates(parts: Parts, k: int) -> Ints:
    """See `slates.heuristics.greedy_slates`."""
    v, gain = only(parts.v, parts.mask, 0.0), parts.q - parts.q_null[:, None]
    mass, worth = parts.v_null[:, None], np.zeros((len(v), 1))
    taken, rows = np.zeros(v.shape, bool), np.arange(len(v))[:, None]
    slates = np.empty((len(v), k), np.int64)
    for place in range(k):
        after = only((worth + v * gain) / np.maximum(mass + v, TINY), parts.mask, -LARGE)
        after[taken] = -np.inf
        pick = after.argmax(1)[:, None]
        slates[:, place] = pick[:, 0]
        taken[rows, pick] = True
        chosen = v[rows, pick]
        mass, worth = mass + chosen, worth + chosen * gain[rows, pick]
    return shown(slates, parts.mask)


def optimal_slates(parts: Parts, k: int) -> Ints:
    """See `slates.optimal.optimal_slates`; rounds go on until no slate's value rises."""
    q, v_null, q_null, mask = parts.q, parts.v_null, parts.q_null, parts.mask
    v = only(parts.v, mask, 0.0)
    worth = v * q
    if len(q) == 1 and v_null[0] > 0:
        return shown(_of_one_user(v[0], worth[0], float(v_null[0]), float(v_null[0] * q_null[0]), k, mask), mask)
    value = _value(v.sum(1), worth.sum(1), v_null, q_null)
    if k == v.shape[1]:
        return best_scored(worth - v * value[:, None], k, mask)
    for turn in range(MAX_ROUNDS):
        reply = greatest(only(worth - v * value[:, None], mask), k)
        members = np.sort(reply, axis=1)  # the same ones have the same value to the bit, whatever their order
        better = _value(_at(v, members).sum(1), _at(worth, members).sum(1), v_null, q_null)
        if not turn:  # the first guess is no slate's value
            slate, value = reply, better
            continue
        rises = better > value
        # At the optimum a slate that nobody can react to ties with the best one, but may be worth less.
        kept = better >= value
        slate = reply if kept.all() else np.where(kept[:, None], reply, slate)
        if not rises.any():
            break
        value = np.maximum(value, better)
    if not (v_null > 0).all():
        inert = greatest(only(-v, mask), k)
        nothing = (v_null + _at(v, inert).sum(1) == 0) & (q_null > value)
        slate = np.where(nothing[:, None], inert, slate)
    return shown(slate, mask)


def _of_one_user(v: Floats, worth: Floats, v_null: float, worth_null: float, k: int, mask: Bools | None) -> Ints:
    """Return `[1, k]`: the same in Python's numbers where arrays would hold one, in a third of the time."""
    slate: Ints = np.empty((1, 0), np.int64)
    value = (worth_null + float(worth.sum())) / (v_null + float(v.sum()))
    for turn in range(MAX_ROUNDS):
        reply = greatest(only((worth - v * value)[None], mask), k)
        if k == len(v):
            return reply
        members = np.sort(reply[0])
        better = (worth_null + sum(worth[members].tolist())) / (v_null + sum(v[members].tolist()))
        if turn and better < value:
            return slate
        slate = reply
        if turn and better == value:
            return slate
        value = better
    return slate


OPTIMISERS: dict[str, SlateOptimiser] = {"top_k": top_k_slates, "greedy": greedy_slates, "optimal": optimal_slates}


def whole_slates(parts: Parts, k: int, attended: int, optimise: SlateOptimiser) -> Ints:
    """See `slates.optimisers.whole_slates`."""
    best = optimise(parts, attended)
    if attended == k:
        return best
    left = np.ones(parts.q.shape, bool) if parts.mask is None else parts.mask.copy()
    np.put_along_axis(left, np.maximum(best, 0), False, axis=1)  # if one is -1, no candidates are left anyway
    return np.concatenate([best, best_scored(parts.q, k - attended, left)], axis=1)


def slate_scores(parts: Parts, slates: Ints, attended: int) -> Floats:
    """See `slates.optimisers.slate_scores`."""
    best = slates[:, :attended]
    there = best >= 0
    v, q = (np.where(there, _at(part, np.maximum(best, 0)), 0.0) for part in (parts.v, parts.q))
    value = _value(v.sum(1), (v * q).sum(1), parts.v_null, parts.q_null)
    scores = only(parts.v * (parts.q - value[:, None]), parts.mask, NEVER)
    falling = np.argsort(-scores, axis=1, kind="stable")
    k, candidates = slates.shape[1], scores.shape[1]
    if (falling[:, :k] == slates).all():
        return np.asarray(scores)
    # A candidate's place on the slate; the others, behind it, keep the order of their scores.
    place = np.full((len(scores), candidates + 1), k)
    np.put_along_axis(place, np.where(slates < 0, candidates, slates), np.arange(k)[None], axis=1)
    order = np.argsort(np.take_along_axis(place[:, :candidates], falling, axis=1), axis=1, kind="stable")
    given = np.empty_like(scores)
    np.put_along_axis(
        given, np.take_along_axis(falling, order, axis=1), np.take_along_axis(scores, falling, axis=1), axis=1
    )
    return given


def _value(mass: Floats, worth: Floats, v_null: Floats, q_null: Floats) -> Floats:
    """Return the values of slates `[B]` by the sums of their documents' `v` and `v * q`."""
    mass = v_null + mass
    value = (v_null * q_null + worth) / np.maximum(mass, TINY)
    return value if mass.all() else np.where(mass > 0, value, q_null)


def _at(values: NDArray[Any], columns: Ints) -> Any:
    """Return each row's values at some columns, `[B, k]`."""
    if len(values) == 1:
        return values[0].take(columns)
    return values[np.arange(len(values))[:, None], columns]
