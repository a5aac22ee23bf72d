"""Estimators of one slate's mean reward that assume something about how the positions of a slate act together.

Whole slates need no estimator of their own: `bandit.ips`, `snips` and `dr` with slate weights. Under the cascade
assumption (a position's reward depends on the positions up to it) positions are to a slate what steps are to an
episode, so `session`'s estimators are used: RIPS (McInerney et al. 2020) is PDIS or, normalised, WPDIS; cascade-DR
(Kiyohara et al. 2022) is DR. Here are those under independent positions and additive rewards.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.offline.estimators import session
from recsys_cli.offline.estimators.influence import Estimated, Floats, mean, ratios


def rips(log_ratio: Floats, reward: Floats) -> Estimated:
    """Return RIPS: each position's reward `[n, k]` has the weight of the positions up to it (McInerney et al. 2020)."""
    return session.per_decision(session.cumulated(log_ratio), reward)


def normalised_rips(log_ratio: Floats, reward: Floats) -> Estimated:
    """Return RIPS with weights normalised at every position (McInerney et al. 2020)."""
    return session.weighted_per_decision(session.cumulated(log_ratio), reward)


def cascade_dr(log_ratio: Floats, reward: Floats, q: Floats, v: Floats) -> Estimated:
    """Return cascade-DR (Kiyohara et al. 2022, "Doubly robust off-policy evaluation for ranking policies").

    Args:
        log_ratio: of each position given those before it, `[n, k]`.
        reward: of each position, `[n, k]`.
        q: the model's sum of rewards from position j on, given the logged documents up to j, `[n, k]`.
        v: its mean over the target's document at j, given the logged ones before j, `[n, k]`.
    """
    ended = np.concatenate([v, np.zeros((len(v), 1))], axis=1)
    return session.doubly_robust(session.cumulated(log_ratio), reward, q, ended)


def independent_ips(weight: Floats, reward: Floats) -> Estimated:
    """Return independent IPS (the item-position model of Li et al. 2018): each position has its own weight.

    Args:
        weight: probability of the logged document at its position under the target, divided by that under the
            behaviour, whatever the other positions hold, `[n, k]`.
        reward: of each position, `[n, k]`.
    """
    return mean((weight * reward).sum(1))


def normalised_independent_ips(weight: Floats, reward: Floats) -> Estimated:
    """Return independent IPS with weights normalised at every position."""
    return ratios(weight * reward, weight)


def pseudo_inverse_weights(target: Floats, second: Floats, slate: NDArray[Any]) -> Floats:
    """Return the weights `[n]` of PI, unbiased for additive rewards (Swaminathan et al. 2017, section 3).

    `1_pi' pinv(Gamma) 1_A`, over the indicators of a document at a position. They may be negative. The estimates are
    `bandit.ips` and, self-normalised (section 5), `bandit.snips`.

    Args:
        target: probability of document c at position j under the target, `[n, k, C]`.
        second: Gamma, of two such pairs together under the behaviour, `[n, k C, k C]`.
        slate: logged, `[n, k]`; -1: no document.
    """
    n, k, candidates = target.shape
    shown = at_positions(slate, candidates).reshape(n, k * candidates)
    flat = target.reshape(n, k * candidates)
    return np.einsum("na,nab,nb->n", flat, np.linalg.pinv(second, hermitian=True, rcond=1e-9), shown)


def pseudo_inverse_weights_uniform(
    target: Floats, slate: NDArray[Any], there: NDArray[np.int64] | int | None = None
) -> Floats:
    """Return the weights `[n]` of PI if the behaviour shows all ordered slates with the same probability.

    Gamma then has three eigenspaces besides its null space: the constant (k / C), item effects that are the same at all
    positions ((C - k) / (C (C - 1))), and what is left (1 / (C - 1)). So nothing is inverted (cf. Swaminathan et al.
    2017, appendix).

    Args:
        target: probability of document c at position j under the target, `[n, k, C]`.
        slate: logged, full, `[n, k]`.
        there: how many candidates each row has, if not all C.
    """
    k, candidates = target.shape[1], target.shape[2] if there is None else np.asarray(there)
    at_place = np.take_along_axis(target, slate[:, :, None], axis=2).sum((1, 2))
    anywhere = np.take_along_axis(target.sum(1), slate, axis=1).sum(1) / k
    # If all candidates are shown there are no item effects: `anywhere` is 1 and the quotient 0 / 0.
    items = (candidates - 1) * (candidates * anywhere - k) / np.maximum(candidates - k, 1)
    return np.asarray(1.0 + items + (candidates - 1) * (at_place - anywhere))


def at_positions(slate: NDArray[Any], candidates: int) -> Floats:
    """Return the indicators `[n, k, C]` of slates; -1 is at no position."""
    return (slate[:, :, None] == np.arange(candidates)).astype(float)
