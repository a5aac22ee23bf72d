"""Decisions: which policy, which slate, and with what probability; the same for the service and for replays.

Nothing here reads a clock, a file or a random stream: draws depend on the names of events and sessions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_cli.policies.base import Floats, Observation
from recsys_cli.serving.draws import uniforms_of
from recsys_cli.serving.model import Model
from recsys_cli.slates.distributions import SlateDistribution

Ints = NDArray[np.int64]

BY_CALLER = -1  # in place of a policy's number, if the caller's order is kept


@dataclass(frozen=True)
class Decided:
    """Decisions for N users.

    Attributes:
        which: number of the policy that chose, `[N]`, or `BY_CALLER`.
        slates: positions of candidates, `[N, k]`, -1 behind the end.
        log_propensity: of each position under the policy that chose, `[N, k]`; NaN if it is not known exactly.
        by_policy: log-probability of the slate under each policy, `[N, M]`; NaN likewise.
        log_total: log-probability of the slate, whichever policy had been chosen, `[N]`; NaN likewise.
        scores: of the slate's documents by the policy that chose, `[N, k]`; NaN if it has none.
    """

    which: Ints
    slates: Ints
    log_propensity: Floats
    by_policy: Floats
    log_total: Floats
    scores: Floats

    @property
    def lengths(self) -> list[int]:
        """Documents of each slate."""
        lengths: list[int] = (self.slates >= 0).sum(1).tolist()
        return lengths

    @property
    def known(self) -> list[bool]:
        """Whether each slate's propensity is known exactly."""
        known: list[bool] = (~np.isnan(self.log_propensity[:, 0])).tolist()
        return known

    @property
    def scored(self) -> list[bool]:
        """Whether each slate's documents have scores."""
        scored: list[bool] = (~np.isnan(self.scores[:, 0])).tolist()
        return scored


def choose(weights: Floats, keys: Sequence[str], epoch: int) -> Ints:
    """Return the number of each user's policy, `[N]`: the same for the same session in the same epoch.

    Args:
        weights: the router's probabilities, `[N, M]`.
        keys: names of sessions, N.
        epoch: the router's.
    """
    if weights.shape[1] == 1:
        return np.zeros(len(keys), np.int64)
    ends = weights.cumsum(1)
    drawn = uniforms_of(keys, "policy", str(epoch)) * ends[:, -1]
    return np.minimum((ends <= drawn[:, None]).sum(1), weights.shape[1] - 1)


def decide(
    models: Sequence[Model],
    observations: Sequence[Observation],
    weights: Floats,
    which: Ints,
    seeds: NDArray[np.uint64],
) -> Decided:
    """Choose slates.

    Args:
        models: M policies.
        observations: what each of them sees of N users.
        weights: the router's probabilities, `[N, M]`.
        which: the policy that chooses for each user, or `BY_CALLER`: the first k candidates present.
        seeds: of the draws, `[N]`.
    """
    answers = [model.answer(observation) for model, observation in zip(models, observations, strict=True)]
    laws = [law for law, _ in answers]
    slates = _drawn(laws, which, seeds, np.asarray(observations[0]["mask"]))
    by_policy, conditional = np.full(weights.shape, np.nan), np.full(slates.shape, np.nan)
    scores = np.full(slates.shape, np.nan)
    conditional[which == BY_CALLER] = 0.0
    for number, (model, (law, score)) in enumerate(zip(models, answers, strict=True)):
        mine = which == number
        if model.exact:
            positions = law.position_log_prob(slates)
            by_policy[:, number] = positions.sum(1)
            conditional[mine] = positions[mine]
        if mine.any() and (every := score()) is not None:
            scores[mine] = np.take_along_axis(every, np.maximum(slates, 0), axis=1)[mine]
    return Decided(which, slates, conditional, by_policy, _log_total(by_policy, weights, which), scores)


def keep_order(mask: NDArray[np.bool_], weights: Floats, slate_size: int) -> Decided:
    """Keep the caller's order for all users, and ask no policy.

    Args:
        mask: which candidates are present and not excluded, `[N, C]`.
        weights: the router's probabilities, `[N, M]`.
        slate_size: documents of a slate.
    """
    slates = first_present(mask, slate_size)
    unknown, certain = np.full(weights.shape, np.nan), np.zeros(slates.shape)
    which = np.full(len(mask), BY_CALLER)
    return Decided(which, slates, certain, unknown, np.zeros(len(mask)), np.full(slates.shape, np.nan))


def _drawn(laws: Sequence[SlateDistribution], which: Ints, seeds: NDArray[np.uint64], mask: NDArray[np.bool_]) -> Ints:
    if len(laws) == 1 and (which == 0).all():
        return laws[0].sample_seeded(seeds)
    slates = np.empty((len(which), laws[0].slate_size), np.int64)
    for number in np.unique(which):
        rows = np.flatnonzero(which == number)
        if number == BY_CALLER:
            slates[rows] = first_present(mask[rows], slates.shape[1])
        else:
            slates[rows] = laws[number].take(rows).sample_seeded(seeds[rows])
    return slates


def first_present(mask: NDArray[np.bool_], slate_size: int) -> Ints:
    """Return the slates `[N, k]` of the first candidates present, in the caller's order."""
    order = np.argsort(~mask, axis=1, kind="stable")[:, :slate_size]
    order = np.pad(order, ((0, 0), (0, slate_size - order.shape[1])), constant_values=-1)
    return np.where(np.arange(slate_size) < mask.sum(1)[:, None], order, -1)


def _log_total(by_policy: Floats, weights: Floats, which: Ints) -> Floats:
    """Return the mixture's log-probability; parts of weight 0 do not count, whether known or not."""
    if by_policy.shape[1] == 1 and (which == 0).all():
        return by_policy[:, 0]
    with np.errstate(divide="ignore"):
        parts = np.where(weights > 0, np.log(weights) + by_policy, -np.inf)
        total = np.logaddexp.reduce(parts, axis=1)
    return np.where(which == BY_CALLER, 0.0, total)
