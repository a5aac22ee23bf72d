"""What a distribution over slates says about positions: each document at each position, and pairs of these.

Exact, by going through all slates, if they are few; else means over drawn slates.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from recsys_cli.offline.estimators.influence import Floats
from recsys_cli.offline.estimators.slate import at_positions
from recsys_cli.slates.distributions import DRAWS, SlateDistribution
from recsys_cli.slates.enumeration import all_slates

FEW = 5_000  # slates that are gone through; more are sampled
HELD = 2**22  # numbers held at once


def position_probs(law: SlateDistribution, rng: np.random.Generator, draws: int = DRAWS) -> Floats:
    """Return the probability of document c at position j, `[N, k, C]`.

    Args:
        law: N users' distributions.
        rng: used only if slates are too many to go through.
        draws: slates drawn for each user in that case.
    """
    parts = [
        p @ shown[0] if len(shown) == 1 else np.einsum("nm,nmf->nf", p, shown) for p, shown in _slates(law, rng, draws)
    ]
    return np.concatenate(parts).reshape(-1, law.slate_size, law.num_candidates)


def pair_probs(law: SlateDistribution, rng: np.random.Generator, draws: int = DRAWS) -> Floats:
    """Return Gamma, the probabilities of two documents at two positions together, `[N, k C, k C]`."""
    wide = law.slate_size * law.num_candidates
    parts = []
    for p, shown in _slates(law, rng, draws):
        if len(shown) == 1:
            pairs = (shown[0][:, :, None] * shown[0][:, None, :]).reshape(-1, wide * wide)
            parts.append((p @ pairs).reshape(-1, wide, wide))
        else:
            parts.append(np.swapaxes(shown * p[:, :, None], 1, 2) @ shown)
    return np.concatenate(parts)


def _slates(law: SlateDistribution, rng: np.random.Generator, draws: int) -> Iterator[tuple[Floats, Floats]]:
    """Yield, for some users at a time, slates' weights `[n, M]` and indicators `[n, M, k C]`, or [1, ..] for all."""
    k, candidates = law.slate_size, law.num_candidates
    full = bool((law.candidates_there() >= k).all())
    exact = law.exact and full and math.perm(candidates, k) <= FEW
    every = all_slates(candidates, k, True).numpy() if exact else np.empty((draws, k), np.int64)
    rows_at_once = max(HELD // (len(every) * candidates * (1 if exact else k)), 1)
    for first in range(0, law.num_users, rows_at_once):
        rows = np.arange(first, min(first + rows_at_once, law.num_users))
        some = law.take(np.repeat(rows, len(every)))
        if exact:
            p = np.exp(some.log_prob(np.tile(every, (len(rows), 1)))).reshape(len(rows), -1)
            yield p, at_positions(every, candidates).reshape(1, len(every), -1)
        else:
            shown = at_positions(some.sample(rng), candidates)
            yield np.full((len(rows), draws), 1 / draws), shown.reshape(len(rows), draws, -1)
