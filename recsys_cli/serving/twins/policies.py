"""Policies that act by NumPy instead of torch, and show the same slates."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from recsys_cli.envs.spec import Documents
from recsys_cli.policies import SlatePolicy
from recsys_cli.policies.base import GreedyPolicy, Observation, certain, state_of
from recsys_cli.policies.memory import Memory
from recsys_cli.serving.twins.choice import Choice
from recsys_cli.serving.twins.forward import ItemForward
from recsys_cli.serving.twins.optimisers import (
    Floats,
    Ints,
    Parts,
    SlateOptimiser,
    best_scored,
    only,
    slate_scores,
    whole_slates,
)
from recsys_cli.slates.distributions import SlateDistribution
from recsys_cli.slates.optimal import NEVER

Values = Callable[[Observation, Any, Any], tuple[Floats, Floats]]
"""`(observation, state [B, S], doc [B, C, F])` -> `q` [B, C] and `q_null` [B]."""


class Twin(GreedyPolicy):
    """Acts as `policy` does; what it doesn't do itself, `policy` does.

    Attributes:
        policy: whose twin it is, with what it had learned.
    """

    def __init__(self, policy: SlatePolicy, documents: Documents) -> None:
        """Take the policy, and what documents look like."""
        self.policy, self.slate_size, self.served_by_draws = policy, policy.slate_size, policy.served_by_draws
        self.documents = documents
        self._known: tuple[Observation, Any] | None = None

    def once(self) -> Self:
        """Return a copy, which computes an observation once, whatever is asked about it one after the other."""
        return copy.copy(self)

    def computed(self, observation: Observation) -> Any:
        """Return what slates and scores come from."""
        known = self._known
        if known is None or known[0] is not observation:
            known = self._known = observation, self._compute(observation)
        return known[1]

    def _doc(self, observation: Observation) -> Any:
        """Return the candidates' features, `[B, C, F]`."""
        return np.asarray(self.documents.dense(np.asarray(observation["doc"])), np.float32)

    @abstractmethod
    def _compute(self, observation: Observation) -> Any:
        """Compute it."""

    def posterior(self, observation: Observation) -> SlateDistribution:
        """See `SlatePolicy.posterior`."""
        return self.policy.posterior(observation)

    def new_memory(self, users: int) -> Memory:
        """Return what the policy remembers."""
        return self.policy.new_memory(users)


class ValuedTwin(Twin):
    """Shows the slates that an optimiser finds for choice scores and item values."""

    def __init__(
        self,
        policy: SlatePolicy,
        documents: Documents,
        values: Values,
        choice: Choice,
        attended: int,
        optimise: SlateOptimiser,
    ) -> None:
        """Take the policy and its parts."""
        super().__init__(policy, documents)
        self.values, self.choice, self.attended, self.optimise = values, choice, attended, optimise

    def _compute(self, observation: Observation) -> tuple[Parts, Ints]:
        state, doc, mask = state_of(observation), self._doc(observation), _mask_of(observation)
        v, v_null = self.choice(np.asarray(observation["user"]), state, doc, mask)
        q, q_null = self.values(observation, state, doc)
        parts = Parts(v, q, v_null, q_null, mask)
        return parts, self._best(parts)

    def _best(self, parts: Parts) -> Ints:
        return whole_slates(parts, self.slate_size, self.attended, self.optimise)

    def slates(self, observation: Observation) -> Ints:
        """See `GreedyPolicy.slates`."""
        slates: Ints = self.computed(observation)[1]
        return slates

    def scores(self, observation: Observation) -> Floats:
        """See `SlatePolicy.scores`."""
        parts, slates = self.computed(observation)
        return slate_scores(parts, slates, self.attended)


class ChoiceTwin(ValuedTwin):
    """Shows the slates of a `ValuedTwin`, or of greatest choice score; its scores are the latter's logarithms."""

    def __init__(self, *arguments: Any, by_choice: bool) -> None:
        """Take the arguments of `ValuedTwin`, and whether slates go by choice scores alone."""
        super().__init__(*arguments)
        self.by_choice = by_choice

    def _best(self, parts: Parts) -> Ints:
        return best_scored(parts.v, self.slate_size, parts.mask) if self.by_choice else super()._best(parts)

    def scores(self, observation: Observation) -> Floats:
        """See `SlatePolicy.scores`."""
        v = self.computed(observation)[0].v
        return np.asarray(np.log(np.maximum(v, np.finfo(np.float64).tiny)))


class ScoredTwin(Twin):
    """Shows the candidates of greatest score, or draws them by scores (Plackett-Luce)."""

    def __init__(self, policy: SlatePolicy, documents: Documents, scorer: ItemForward) -> None:
        """Take the policy and its scores."""
        super().__init__(policy, documents)
        self.scorer = scorer

    def _compute(self, observation: Observation) -> Floats:
        scores = self.scorer(state_of(observation), self._doc(observation))[0].astype(np.float64)
        return np.asarray(only(scores, _mask_of(observation), NEVER))

    def scores(self, observation: Observation) -> Floats:
        """See `SlatePolicy.scores`."""
        scores: Floats = self.computed(observation)
        return scores

    def slates(self, observation: Observation) -> Ints:
        """See `GreedyPolicy.slates`."""
        return best_scored(self.computed(observation), self.slate_size, _mask_of(observation))

    def distribution(self, observation: Observation) -> SlateDistribution:
        """See `SlatePolicy.distribution`."""
        return self.softened(observation, 1.0)

    def served(self, observation: Observation) -> SlateDistribution:
        """See `SlatePolicy.served`."""
        return (
            self.distribution(observation) if self.served_by_draws else certain(self.slates(observation), observation)
        )


def _mask_of(observation: Observation) -> Any:
    mask = observation.get("mask")
    return None if mask is None else np.asarray(mask, bool)
