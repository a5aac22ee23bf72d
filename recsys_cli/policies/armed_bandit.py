"""N-armed bandits: no features, only each arm's pulls and outcomes, over all users or per user."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.policies.arm_index import ArmIndex, Mean, Thompson
from recsys_cli.policies.arms import ArmCounts, ArmMemory, Arms, Floats, Outcome, TopicArms
from recsys_cli.policies.bandit import NOT_DRAWN_FROM, BanditPolicy
from recsys_cli.policies.base import Observation
from recsys_cli.policies.memory import Memory
from recsys_cli.slates.distributions import SlateDistribution

if TYPE_CHECKING:
    from recsys_cli.envs.spec import ProblemSpec

TIE = 1e-9  # between scores that would be equal; smaller than any statistical difference


class ArmedBanditPolicy(BanditPolicy):
    """Shows the slate of the arms of greatest index.

    Pooled statistics are over all users, and the greedy policy shows the greatest mean. Per-user statistics restart
    with every session, so exploring is part of serving: the index is always used.
    """

    def __init__(
        self,
        spec: ProblemSpec,
        arms: Arms,
        index: ArmIndex,
        *,
        outcome: Outcome,
        per_user: bool,
        prior_count: float,
        epsilon: float = 0.0,
    ) -> None:
        """Make an untrained policy.

        Args:
            spec: the problem.
            arms: it chooses among.
            index: ranks them.
            outcome: it counts.
            per_user: whether each session has its own statistics.
            prior_count: pulls that the population's mean of each arm counts for in a session.
            epsilon: probability of a random slate when exploring.
        """
        super().__init__(spec, "none")
        self.arms, self.index, self.outcome, self.epsilon = arms, index, outcome, epsilon
        self.per_user = self.served_by_draws = per_user
        self.prior_count = prior_count
        self.counts = ArmCounts(arms.number)

    def new_memory(self, users: int) -> Memory:
        """Return the memory of a session's own pulls and outcomes, if used."""
        return ArmMemory(self.arms, self.outcome, self.problem.reward, users) if self.per_user else Memory()

    def distribution(self, observation: Observation) -> SlateDistribution:
        """Return the slates of greatest mean or, with per-user statistics, those shown while learning."""
        return self.behaviour(observation) if self.per_user else self._by(Mean(unknown=-np.inf), observation)

    def behaviour(self, observation: Observation) -> SlateDistribution:
        """Return the slates of greatest index, with random ones among them."""
        return self.mixed(self.epsilon, partial(self._by, self.index), observation)

    def posterior(self, observation: Observation) -> SlateDistribution:
        """Return the slates of greatest posterior draw."""
        return self._by(self.index if self.index.draws else Thompson("gaussian"), observation)

    def scores(self, observation: Observation) -> Floats:
        """Return mean outcomes of the candidates' topics; within a topic they differ by the order of showing.

        Raises:
            ConfigError: arms are whole slates.
        """
        if not isinstance(self.arms, TopicArms):
            return super().scores(observation)
        doc = np.asarray(observation["doc"])
        means = self._ranked(Mean(unknown=-np.inf), observation, NOT_DRAWN_FROM)
        means = np.broadcast_to(means, (len(doc), self.arms.number))
        order = self.arms.ranking(means, doc, observation.get("mask"))
        topics = np.take_along_axis(self.problem.documents.topics_of(doc), order, axis=1)
        falling = np.take_along_axis(means, topics, axis=1)
        # Arms never pulled are worth the worst of the others; ties would fall in any order.
        worst = np.where(np.isfinite(falling), falling, np.inf).min(1, keepdims=True)
        falling = np.where(np.isfinite(falling), falling, np.where(np.isfinite(worst), worst, 0.0))
        falling -= TIE * np.arange(doc.shape[1])
        scores = np.empty(order.shape)
        np.put_along_axis(scores, order, falling, axis=1)
        return scores

    def _by(self, index: ArmIndex, observation: Observation) -> SlateDistribution:
        def choose(observation: Observation, rng: np.random.Generator) -> NDArray[np.int64]:
            doc = np.asarray(observation["doc"])
            ranked = self._ranked(index, observation, rng)
            return self.arms.slates(np.broadcast_to(ranked, (len(doc), self.arms.number)), doc, observation.get("mask"))

        return self.chosen(index.draws, choose, observation)

    def _ranked(self, index: ArmIndex, observation: Observation, rng: np.random.Generator) -> Floats:
        """Return the arms' index, `[n, K]`, or `[1, K]` if all users have the same."""
        # If nothing is drawn, pooled statistics rank the arms alike for all users: once is enough.
        users = len(observation["doc"]) if self.per_user or index.draws else 1
        pulls, sums = self._statistics(observation.get("memory"), users)
        unit = self.counts.total[2] or 1.0
        return index(pulls, sums / unit, self.counts.noise / unit, rng)

    def _statistics(self, own: NDArray[Any] | None, users: int) -> tuple[Floats, Floats]:
        """Return pulls and summed outcomes, `[n, K]` each; `own` is the sessions' memory."""
        if not self.per_user:
            shape = (users, self.arms.number)
            return np.broadcast_to(self.counts.pulls, shape), np.broadcast_to(self.counts.sums, shape)
        assert own is not None, "the session's own pulls are what `new_memory` remembers"
        pulls, sums = self._split(own)
        known = self.prior_count * (self.counts.first[0] > 0)
        return pulls + known, sums + known * self.counts.first[1] / np.maximum(self.counts.first[0], 1)

    def _split(self, own: NDArray[Any]) -> tuple[Floats, Floats]:
        counts = np.asarray(own, np.float64)
        return counts[:, : self.arms.number], counts[:, self.arms.number :]

    def learn(self, transitions: Mapping[str, np.ndarray]) -> float:
        """Count all users' pulls; see `BanditPolicy.learn`."""
        slate, clicked = transitions["slate"], transitions["clicked"].astype(np.int64)
        if not len(clicked):
            return 0.0
        arm = self.arms.pulled(slate, transitions["slate_doc"])
        worth = np.ones(len(clicked)) if self.outcome == "clicks" else transitions["reward"].astype(np.float64)
        by_position = (clicked[:, None] == np.arange(slate.shape[1])) * worth[:, None]
        outcome = self.arms.outcomes(by_position)
        first = np.zeros(arm.shape, bool)
        if self.per_user:
            first = np.take_along_axis(self._split(transitions["memory"])[0], arm, axis=1) == 0
        error = outcome - means_of(self.counts)[arm]
        there = self.arms.there(slate)
        self.counts.learn(arm[there], outcome[there], first[there])
        return float(np.square(error[there]).mean())

    def parts(self) -> dict[str, ArmCounts]:
        """Return what is learned: the population's counts."""
        return {"arms": self.counts}


def means_of(counts: ArmCounts) -> Floats:
    """Return every arm's mean outcome over all users, `[K]`; 0 if never pulled."""
    return counts.sums / np.maximum(counts.pulls, 1)
