"""How often a distribution over slates shows two documents together."""

from __future__ import annotations

import math

import numpy as np

from recsys_cli.offline.estimators.influence import Floats
from recsys_cli.offline.estimators.slate import at_positions
from recsys_cli.slates.distributions import SlateDistribution
from recsys_cli.slates.enumeration import all_slates

FEW = 5_000  # slates, all of which are gone through
HELD = 2**22  # numbers held at once


def pairs_known(law: SlateDistribution) -> bool:
    """Whether `pair_probs` can be computed: probabilities are exact, slates few and full."""
    few = math.perm(law.num_candidates, law.slate_size) <= FEW
    return few and law.exact and bool((law.candidates_there() >= law.slate_size).all())


def pair_probs(law: SlateDistribution) -> Floats:
    """Return Gamma, the probability of document c at position j and d at l, `[N, k C, k C]`, by going through slates.

    Args:
        law: N users' distributions, for which `pairs_known`.
    """
    k, candidates = law.slate_size, law.num_candidates
    every = all_slates(candidates, k, True).numpy()
    shown = at_positions(every, candidates).reshape(len(every), k * candidates)
    pairs = (shown[:, :, None] * shown[:, None, :]).reshape(len(every), -1)
    out, rows_at_once = np.empty((law.num_users, pairs.shape[1])), max(HELD // (len(every) * candidates), 1)
    for first in range(0, law.num_users, rows_at_once):
        rows = np.arange(first, min(first + rows_at_once, law.num_users))
        each = law.take(np.repeat(rows, len(every))).log_prob(np.tile(every, (len(rows), 1)))
        out[rows] = np.exp(each).reshape(len(rows), -1) @ pairs
    return out.reshape(law.num_users, k * candidates, -1)
