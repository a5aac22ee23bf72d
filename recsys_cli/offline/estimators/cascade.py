"""The reward model of cascade-DR: what the documents up to a position say about the reward from there on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.offline.estimators.influence import Floats
from recsys_cli.offline.estimators.reward_models import least_squares
from recsys_cli.slates.distributions import SlateDistribution


def features(law: SlateDistribution, v: Floats, doc: NDArray[Any], shown: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return features of the logged documents up to each position, and their mean over the target's there.

    They are a constant, the choice score of the document at the position, that times the document's features, and the
    scores before it, summed; both arrays are `[n, k, F + 3]`.

    Args:
        law: the target's distributions.
        v: choice scores of the candidates, `[n, C]`.
        doc: features of the candidates, `[n, C, F]`.
        shown: logged slates, `[n, k]`; -1 for no document.
    """
    users, places = shown.shape
    scored = np.concatenate([v[:, :, None], v[:, :, None] * doc], axis=2)  # [n, C, F + 1]
    own = np.where(shown[:, :, None] < 0, 0.0, np.take_along_axis(scored, np.maximum(shown, 0)[:, :, None], axis=1))
    meant = np.einsum("nkc,ncf->nkf", next_probs(law, shown), scored)
    passed = own[:, :, 0].cumsum(1) - own[:, :, 0]
    constant = np.ones((users, places, 1))
    return tuple(np.concatenate([constant, part, passed[:, :, None]], axis=2) for part in (own, meant))  # type: ignore[return-value]


def next_probs(law: SlateDistribution, shown: NDArray[np.int64]) -> Floats:
    """Return the probability of each candidate at each position, given the logged documents before, `[n, k, C]`.

    0 after a document that the distribution could not have shown.
    """
    users, places = shown.shape
    candidates = law.num_candidates
    each = law.take(np.repeat(np.arange(users), candidates))
    slates = np.repeat(shown, candidates, axis=0)
    out, before = np.empty((users, places, candidates)), np.ones((users, 1))
    for place in range(places):
        tried = slates.copy()
        tried[:, place] = np.tile(np.arange(candidates), users)
        p = np.exp(each.prefix_log_prob(tried)[:, place]).reshape(users, candidates)
        out[:, place] = np.divide(p, before, out=np.zeros_like(p), where=before > 0)
        logged = np.maximum(shown[:, place, None], 0)
        before = np.where(shown[:, place, None] < 0, before, np.take_along_axis(p, logged, axis=1))
    return out


def fitted(
    prefix: Floats, prefix_target: Floats, reward: Floats, fold: NDArray[Any], ridge: float
) -> tuple[Floats, Floats]:
    """Return q and v `[n, k]` (see `slate.cascade_dr`), cross-fitted, from the last position back.

    Args:
        prefix: features up to each position, `[n, k, p]`.
        prefix_target: their means over the target's document at the position, `[n, k, p]`.
        reward: of each position, `[n, k]`.
        fold: of every row, `[n]`.
        ridge: of the regressions.
    """
    q, v = np.zeros(reward.shape), np.zeros(reward.shape)
    for number in np.unique(fold):
        held = fold == number
        to_come = np.zeros(len(reward))
        for place in range(reward.shape[1] - 1, -1, -1):
            beta = least_squares(prefix[~held, place], (reward[:, place] + to_come)[~held], ridge)
            to_come = prefix_target[:, place] @ beta
            q[held, place], v[held, place] = prefix[held, place] @ beta, to_come[held]
    return q, v
