"""Tabular Q-learning: RecSim's `TabularQAgent` for many users at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.policies.bandit import BanditPolicy
from recsys_cli.policies.base import Observation, certain, state_of
from recsys_cli.policies.discretisation import Discretisation, Ints
from recsys_cli.slates.distributions import EnumeratedSoftmax, SlateDistribution
from recsys_cli.slates.enumeration import all_slates, filled_up

if TYPE_CHECKING:
    from recsys_cli.envs.spec import ProblemSpec


class QTable:
    """Value and number of visits for every kind of user and every kind of slate, `[S, A]` each."""

    def __init__(self, shape: tuple[int, int], lr: float, *, averaging: bool) -> None:
        """Begin with values of 0.

        Args:
            shape: S and A.
            lr: step size of an update.
            averaging: take one over the entry's visits instead, as long as that is more.
        """
        self.values, self.visits = np.zeros(shape), np.zeros(shape, np.int64)
        self.lr, self.averaging = lr, averaging

    def learn(self, user: Ints, slate: Ints, target: NDArray[np.float64]) -> None:
        """Move entries towards their targets `[n]`, one after the other if an entry appears more than once."""
        entry = user * self.values.shape[1] + slate
        order = np.argsort(entry, kind="stable")
        first = np.flatnonzero(np.diff(entry[order], prepend=-1))
        times = np.diff(first, append=len(order))
        values, visits = self.values.reshape(-1), self.visits.reshape(-1)
        for again in range(times.max(initial=0)):
            row = order[first[times > again] + again]
            at = entry[row]
            visits[at] += 1
            step = np.maximum(self.lr, 1 / visits[at]) if self.averaging else self.lr
            values[at] += step * (target[row] - values[at])

    def tensors(self) -> dict[str, np.ndarray]:
        """Return copies of values and visits."""
        return {"values": self.values.copy(), "visits": self.visits.copy()}

    def load_tensors(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Restore what `tensors` returned."""
        self.values, self.visits = np.array(tensors["values"]), np.array(tensors["visits"])


class TabularQPolicy(BanditPolicy):
    """Shows the slate of greatest value among all that the candidates make."""

    def __init__(
        self, spec: ProblemSpec, bins: Discretisation, table: QTable, discount: float, least_visited: bool
    ) -> None:
        """Make an untrained policy.

        Args:
            spec: the problem.
            bins: the kinds that the table distinguishes.
            table: what is learned.
            discount: of one step.
            least_visited: explore by the slate whose entry was visited least (RecSim's `min_count`).
        """
        super().__init__(spec, bins.memory)
        self.bins, self.table, self.discount, self.least_visited = bins, table, discount, least_visited

    def distribution(self, observation: Observation) -> SlateDistribution:
        """Return the slates of greatest value, for certain."""
        return self._greatest(observation, self.table.values)

    def behaviour(self, observation: Observation) -> SlateDistribution:
        """Return the same, or the slates visited least."""
        return self._greatest(observation, -self.table.visits if self.least_visited else self.table.values)

    def softened(self, observation: Observation, temperature: float) -> SlateDistribution:
        """Return a softmax over the values of all slates."""
        doc = np.asarray(observation["doc"])
        every, user, slate = self._choices(state_of(observation), doc)
        values = self.table.values[user[:, None], slate] / temperature
        return EnumeratedSoftmax(values, every, doc.shape[1], self.slate_size, observation.get("mask"))

    def _greatest(self, observation: Observation, table: NDArray[Any]) -> SlateDistribution:
        doc, mask = np.asarray(observation["doc"]), observation.get("mask")
        every, user, slate = self._choices(state_of(observation), doc)
        values = table[user[:, None], slate]
        if mask is not None:
            values = np.where(mask[:, every].all(-1), values, -np.inf)
        return certain(filled_up(every[values.argmax(1)], doc.shape[1], self.slate_size, mask), observation)

    def _choices(self, user: NDArray[Any], doc: NDArray[Any]) -> tuple[Ints, Ints, Ints]:
        """Return every slate `[M, attended]`, the users' kinds `[n]`, and their slates' kinds `[n, M]`."""
        every = all_slates(doc.shape[1], self.attended, self.bins.ordered).numpy()
        return every, self.bins.users(user), self.bins.slates(self.bins.kinds_of(doc)[:, every])

    def learn(self, transitions: Mapping[str, np.ndarray]) -> float:
        """Update the table; targets use the table before the update. See `BanditPolicy.learn`.

        Args:
            transitions: from `FollowedChunk.transitions`.
        """
        if not len(transitions["reward"]):
            return 0.0
        user = self.bins.users(state_of(transitions))
        slate = self.bins.slates(self.bins.kinds_of(transitions["slate_doc"][:, : self.attended]))
        every, after, slates = self._choices(state_of(transitions, "next_"), transitions["next_doc"])
        values = self.table.values[after[:, None], slates]
        if "next_mask" in transitions:
            values = np.where(transitions["next_mask"].astype(bool)[:, every].all(-1), values, -np.inf)
        following = values.max(1) * ~transitions["terminated"].astype(bool)
        target = transitions["reward"].astype(np.float64) + self.discount * following
        error = target - self.table.values[user, slate]
        self.table.learn(user, slate, target)
        return float(np.square(error).mean())

    def parts(self) -> dict[str, QTable]:
        """Return what is learned."""
        return {"table": self.table}
