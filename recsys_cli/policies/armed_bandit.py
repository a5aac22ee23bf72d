"""N-armed bandits: no features, only how often an arm was pulled and what came of it, of all users or of each one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.policies.arm_index import ArmIndex, Mean
from recsys_cli.policies.arms import ArmCounts, ArmMemory, Arms, Floats, Outcome
from recsys_cli.policies.bandit import BanditPolicy
from recsys_cli.policies.base import Observation
from recsys_cli.policies.exploration import epsilon_greedy
from recsys_cli.policies.memory import Memory

if TYPE_CHECKING:
    from recsys_cli.envs.spec import ProblemSpec


class ArmedBanditPolicy(BanditPolicy):
    """Shows the slate of the arms of greatest index.

    With pooled statistics all users are one; what is greedy shows the greatest mean. With a user's own statistics every
    session begins anew, so finding out is part of serving it: the index is followed whether or not it explores.
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
        seed: int = 0,
    ) -> None:
        """Make an untrained policy.

        Args:
            spec: the problem.
            arms: what it chooses among.
            index: what it ranks them by.
            outcome: what it counts.
            per_user: whether each session has its own statistics.
            prior_count: pulls that the population's mean of each arm counts for in a session.
            epsilon: probability of a random slate when exploring.
            seed: of what it draws.
        """
        super().__init__(spec, "none", seed)
        self.arms, self.index, self.outcome, self.epsilon = arms, index, outcome, epsilon
        self.per_user, self.prior_count = per_user, prior_count
        self.counts = ArmCounts(arms.number)

    def new_memory(self, users: int) -> Memory:
        """Remember a session's own pulls and outcomes, where they matter."""
        return ArmMemory(self.arms, self.outcome, self.problem.reward, users) if self.per_user else Memory()

    def act(self, observation: Observation, *, explore: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Choose slates; see `SlatePolicy.act`."""
        doc = np.asarray(observation["doc"])
        exploring = explore or self.per_user
        index: ArmIndex = self.index if exploring else Mean(unknown=-np.inf)
        # Where nothing is drawn, pooled statistics rank the arms alike for all users: once is enough.
        pulls, sums = self._statistics(observation.get("memory"), len(doc) if self.per_user or index.draws else 1)
        unit = self.counts.total[2] or 1.0
        ranked = index(pulls, sums / unit, self.counts.noise / unit, self.rng)
        slates = self.arms.slates(np.broadcast_to(ranked, (len(doc), self.arms.number)), doc)
        if exploring and self.epsilon:
            return epsilon_greedy(self.rng, slates, doc.shape[1], self.epsilon)
        return slates, np.full(len(slates), np.nan if index.draws else 0.0)

    def _statistics(self, own: NDArray[Any] | None, users: int) -> tuple[Floats, Floats]:
        """Return pulls and summed outcomes, `[n, K]` each; `own` is what is remembered of the sessions."""
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
        expected = means_of(self.counts)[arm]
        self.counts.learn(arm.ravel(), outcome.ravel(), first.ravel())
        return float(np.square(outcome - expected).mean())

    def parts(self) -> dict[str, ArmCounts]:
        """Return what is learned: the population's counts."""
        return {"arms": self.counts}


def means_of(counts: ArmCounts) -> Floats:
    """Return every arm's mean outcome over all users, `[K]`; 0 where it was never pulled."""
    return counts.sums / np.maximum(counts.pulls, 1)
