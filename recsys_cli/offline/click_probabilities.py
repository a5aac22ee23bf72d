"""What users click under a distribution over slates: `p(c) = sum over slates A of pi(A) P(c | A)`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.offline.choice import ChoiceScores
from recsys_cli.slates.counting import count_slates
from recsys_cli.slates.distributions import (
    DRAWS,
    Certain,
    Deferred,
    Mixture,
    PlackettLuceSlates,
    SlateDistribution,
    Uniform,
)
from recsys_cli.slates.enumeration import all_slates

Floats = NDArray[np.float64]

EXACT_SLATES = 10_000  # ordered slates up to which they are enumerated
CHUNK = 2**21  # numbers held at once
GAP = 40.0  # two candidates whose scores differ by more: the lower one's probability is below float64's precision


def click_probabilities(
    law: SlateDistribution, choice: ChoiceScores, *, draws: int = DRAWS, seed: int = 0
) -> tuple[Floats, bool]:
    """Return the probabilities `[n, C + 1]` of clicking each candidate, and none, and whether they are exact.

    Exact for certain and uniform slates, mixtures of these, and Plackett-Luce with up to `EXACT_SLATES` slates; else
    the mean of the choice model over slates drawn.

    Args:
        law: n distributions over slates.
        choice: the users' choice scores.
        draws: slates drawn for each user if it takes drawing.
        seed: of the draws.
    """
    match law:
        case Deferred():
            return click_probabilities(law.known, choice, draws=draws, seed=seed)
        case Certain():
            return _of_candidates(law.mode(), choice.clicks(law.mode()), choice.v.shape), True
        case Mixture():
            return _mixed(law, choice, draws, seed)
        case Uniform() | PlackettLuceSlates() if _enumerable(law, choice):
            return _enumerated(law, choice), True
    rng, total = np.random.Generator(np.random.SFC64(seed)), np.zeros((len(choice.v), choice.v.shape[1] + 1))
    for _ in range(draws):
        slates = law.sample(rng)
        total += _of_candidates(slates, choice.clicks(slates), choice.v.shape)
    return total / draws, False


def _mixed(law: Mixture, choice: ChoiceScores, draws: int, seed: int) -> tuple[Floats, bool]:
    weights = np.broadcast_to(law.weights, (law.num_users, len(law.parts)))
    total, exact = np.zeros((len(choice.v), choice.v.shape[1] + 1)), True
    for number, (weight, part) in enumerate(zip(weights.T, law.parts, strict=True)):
        if weight.any():
            clicks, known = click_probabilities(part, choice, draws=draws, seed=seed + number)
            total, exact = total + weight[:, None] * clicks, exact and known
    return total, exact


def _of_candidates(slates: NDArray[Any], clicks: Floats, shape: tuple[int, ...]) -> Floats:
    """Return click probabilities by candidate `[n, C + 1]`, of those by position `[n, k + 1]`."""
    users, candidates = shape
    out, rows = np.zeros((users, candidates + 1)), np.arange(users)
    out[:, -1] = clicks[:, -1]
    for place in range(slates.shape[1]):  # a padded position is never clicked
        out[rows, slates[:, place]] += np.where(slates[:, place] < 0, 0.0, clicks[:, place])
    return out


def _enumerable(law: SlateDistribution, choice: ChoiceScores) -> bool:
    size = min(choice.attended, law.slate_size)
    full = law.mask is None or bool((law.candidates_there() >= size).all())
    few = law.num_candidates >= size and count_slates(law.num_candidates, size, ordered=True) <= EXACT_SLATES
    return few and (full or not choice.cascade)


def _enumerated(law: Uniform | PlackettLuceSlates, choice: ChoiceScores) -> Floats:
    """Sum over all slates; only the positions that the user looks at matter."""
    size = min(choice.attended, law.slate_size)
    rates = _rates(law)
    there = (rates > 0).sum(1) if law.mask is None else law.candidates_there()
    slates = all_slates(law.num_candidates, size, ordered=True).numpy()
    clicks = np.empty((law.num_users, law.num_candidates + 1))
    rows_at_once = max(CHUNK // len(slates), 1)
    for at in range(0, law.num_users, rows_at_once):
        rows = slice(at, at + rows_at_once)
        part = choice.take(rows)
        p = _slate_probabilities(rates[rows], slates)
        found = _cascading(p, slates, part) if choice.cascade else _conditional(p, slates, part)
        clicks[rows, :-1] = found
    if law.mask is not None and (short := there < size).any():  # all that is there is shown
        mass = choice.v_null[short] + choice.v[short].sum(1)
        clicks[short, :-1] = choice.v[short] / np.where(mass > 0, mass, 1.0)[:, None]
    clicks[:, -1] = np.clip(1 - clicks[:, :-1].sum(1), 0.0, 1.0)
    return clicks


def _rates(law: Uniform | PlackettLuceSlates) -> Floats:
    """Return the rates `[n, C]` of the race that draws the slates, the largest 1; 0 for missing candidates.

    Gaps between neighbouring scores are cut to `GAP`, which changes no probability by more than rounding, so that what
    is left after the first documents are drawn never underflows.
    """
    there = np.ones((law.num_users, law.num_candidates), bool) if law.mask is None else law.mask
    if isinstance(law, Uniform):
        return there.astype(np.float64)
    scores = np.where(there, law.scores, -np.inf)
    order = np.argsort(-scores, axis=1, kind="stable")
    falling = np.take_along_axis(np.where(there, scores, scores.max(1, keepdims=True) - GAP), order, axis=1)
    gaps = np.clip(np.diff(falling, axis=1), -GAP, 0.0)
    rates = np.zeros_like(scores)
    cumulated = np.concatenate([np.zeros((len(scores), 1)), gaps.cumsum(1)], axis=1)
    np.put_along_axis(rates, order, np.exp(cumulated), axis=1)
    return np.where(there, rates, 0.0)


def _slate_probabilities(rates: Floats, slates: NDArray[np.int64]) -> Floats:
    """Return the Plackett-Luce probabilities `[n, M]` of all slates `[M, k]`, listed in lexicographic order.

    The rates left after a beginning are summed, not subtracted from the total: that would cancel for sharp scores.
    """
    p = np.ones((len(rates), len(slates)))
    for place in range(slates.shape[1]):
        beginnings = slates[:: _slates_per_beginning(slates, place), :place]
        left = np.ones((len(beginnings), rates.shape[1]))
        np.put_along_axis(left, beginnings, 0.0, axis=1)
        remaining = rates @ left.T
        inverse = np.divide(1.0, remaining, out=np.zeros_like(remaining), where=remaining > 0)
        p *= rates[:, slates[:, place]]
        p *= np.repeat(inverse, len(slates) // len(beginnings), axis=1)
    return p


def _slates_per_beginning(slates: NDArray[np.int64], place: int) -> int:
    """Return how many listed slates begin with the same `place` documents."""
    if place == 0:
        return len(slates)
    changed = (slates[:, :place] != slates[0, :place]).any(1)
    return int(changed.argmax()) if changed.any() else len(slates)


def _conditional(p: Floats, slates: NDArray[np.int64], choice: ChoiceScores) -> Floats:
    """Return click probabilities `[n, C]` of a user to whom order does not matter, given those of slates."""
    candidates = choice.v.shape[1]
    sets = all_slates(candidates, slates.shape[1], ordered=False).numpy()
    radix = candidates ** np.arange(slates.shape[1])
    number = np.searchsorted(np.sort(sets @ radix), np.sort(slates, axis=1) @ radix)
    by_set = np.argsort(number, kind="stable")
    orders = len(slates) // len(sets)
    p = p[:, by_set].reshape(len(p), len(sets), orders).sum(-1)
    holds = np.zeros((len(sets), candidates))
    np.put_along_axis(holds, np.sort(slates, axis=1)[by_set[::orders]], 1.0, axis=1)
    mass = choice.v @ holds.T + choice.v_null[:, None]
    return choice.v * (np.divide(p, mass, out=np.zeros_like(p), where=mass > 0) @ holds)


def _cascading(p: Floats, slates: NDArray[np.int64], choice: ChoiceScores) -> Floats:
    """Return click probabilities `[n, C]` of a user who goes down the slate."""
    clicks, passed = np.zeros_like(choice.v), p.copy()
    stops = choice.v / (1 + choice.v)
    for place in range(slates.shape[1]):
        clicked = passed * stops[:, slates[:, place]]
        passed -= clicked
        at = np.zeros((len(slates), choice.v.shape[1]))
        np.put_along_axis(at, slates[:, place, None], 1.0, axis=1)
        clicks += clicked @ at
    return clicks
