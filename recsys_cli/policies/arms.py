"""The arms of n-armed bandits, their counts, and the memory of a session's own counts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from recsys_cli.policies.memory import Memory
from recsys_cli.slates.enumeration import all_slates, filled_up

if TYPE_CHECKING:
    from recsys_cli.envs.spec import ProblemSpec

Floats = NDArray[np.float64]
Outcome = Literal["clicks", "rewards"]


class Arms(ABC):
    """The arms that a bandit chooses among.

    Attributes:
        number: of arms, K.
    """

    number: int

    @abstractmethod
    def pulled(self, slate: NDArray[Any], slate_doc: NDArray[Any]) -> NDArray[np.int64]:
        """Return the arms that showing a slate pulls, `[n, m]`.

        Args:
            slate: candidate numbers, `[n, k]`.
            slate_doc: the documents shown, `[n, k, F]` or `[n, k]`.
        """

    def there(self, slate: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which of the arms of `pulled` were pulled, `[n, m]`: not those of positions that hold no document."""
        return np.ones((len(slate), 1), bool)

    @abstractmethod
    def outcomes(self, by_position: NDArray[Any]) -> NDArray[Any]:
        """Return the outcome of each pull, `[n, m]`, from that of each position of the slates, `[n, k]`."""

    @abstractmethod
    def slates(self, index: Floats, doc: NDArray[Any], mask: NDArray[Any] | None = None) -> NDArray[np.int64]:
        """Return the slates `[n, k]` for indices `[n, K]` and candidates `[n, C, F]` or `[n, C]`.

        A mask `[n, C]` says which candidates are there, if their number varies; short slates are padded with -1.
        """


class TopicArms(Arms):
    """Topics: a slate is filled from the topic of greatest index, then the next, each by quality if it is observed.

    RecSim's cluster bandit (Ie et al. 2019, arXiv 1909.04847, section 4.3). Every document shown is a pull.
    """

    def __init__(self, spec: ProblemSpec) -> None:
        """Take the problem's topics."""
        self.documents, self.number = spec.documents, spec.documents.topics
        self.slate_size, self.attended = spec.slate_size, spec.attended

    def pulled(self, slate: NDArray[Any], slate_doc: NDArray[Any]) -> NDArray[np.int64]:
        """See `Arms.pulled`."""
        return self.documents.topics_of(slate_doc[:, : self.attended])

    def there(self, slate: NDArray[Any]) -> NDArray[np.bool_]:
        """See `Arms.there`."""
        return np.asarray(slate[:, : self.attended] >= 0)

    def outcomes(self, by_position: NDArray[Any]) -> NDArray[Any]:
        """See `Arms.outcomes`."""
        return by_position[:, : self.attended]

    def slates(self, index: Floats, doc: NDArray[Any], mask: NDArray[Any] | None = None) -> NDArray[np.int64]:
        """See `Arms.slates`."""
        best = self.ranking(index, doc, mask)[:, : self.slate_size]
        return best if mask is None else np.where(np.take_along_axis(np.asarray(mask, bool), best, axis=1), best, -1)

    def ranking(self, index: Floats, doc: NDArray[Any], mask: NDArray[Any] | None) -> NDArray[np.int64]:
        """Return all candidates, best first, `[n, C]`; topics of the same index stay apart."""
        topics = self.documents.topics_of(doc)
        keys = [topics, -np.take_along_axis(index, topics, axis=1)]  # the last key sorts first
        if self.documents.quality is not None:
            keys.insert(0, -self.documents.dense(doc)[..., self.documents.quality])
        if mask is not None:
            keys.append(~np.asarray(mask, bool))
        return np.lexsort(keys, axis=-1)


class SlateArms(Arms):
    """Whole slates of a fixed candidate set, ignoring order and positions that the user does not look at."""

    def __init__(self, spec: ProblemSpec) -> None:
        """Enumerate the slates."""
        self.candidates, self.slate_size, self.attended = spec.width, spec.slate_size, spec.attended
        self.every = all_slates(self.candidates, self.attended, False).numpy()
        self.digits = self.candidates ** np.arange(self.attended)[::-1]
        self.codes = self.every @ self.digits  # rising
        self.number = len(self.every)

    def pulled(self, slate: NDArray[Any], slate_doc: NDArray[Any]) -> NDArray[np.int64]:
        """See `Arms.pulled`."""
        code = np.sort(slate[:, : self.attended].astype(np.int64), axis=1) @ self.digits
        return np.searchsorted(self.codes, code)[:, None]

    def outcomes(self, by_position: NDArray[Any]) -> NDArray[Any]:
        """See `Arms.outcomes`."""
        total: NDArray[Any] = by_position[:, : self.attended].sum(1, keepdims=True)
        return total

    def slates(self, index: Floats, doc: NDArray[Any], mask: NDArray[Any] | None = None) -> NDArray[np.int64]:
        """See `Arms.slates`; positions that nobody looks at get any other candidates."""
        return filled_up(self.every[index.argmax(1)], self.candidates, self.slate_size)


class ArmCounts:
    """Pulls and summed outcomes of every arm over all users.

    Attributes:
        pulls: `[K]`.
        sums: summed outcomes, `[K]`.
        first: pulls and summed outcomes of users' first pull of each arm, `[2, K]`: a user who liked an arm pulled it
            more often, and would count for more among all pulls than among users.
        total: number of pulls, summed squares of outcomes, and the largest outcome, `[3]`.
    """

    def __init__(self, number: int) -> None:
        """Begin with nothing."""
        self.pulls: Floats = np.zeros(number)
        self.sums: Floats = np.zeros(number)
        self.first: Floats = np.zeros((2, number))
        self.total: Floats = np.zeros(3)

    def learn(self, arm: NDArray[np.int64], outcome: Floats, first: NDArray[np.bool_]) -> None:
        """Add pulls: arm `[n]`, outcome `[n]`, and whether it was the user's first of this arm `[n]`."""
        number = len(self.pulls)
        self.pulls += np.bincount(arm, minlength=number)
        self.sums += np.bincount(arm, outcome, number)
        self.first[0] += np.bincount(arm[first], minlength=number)
        self.first[1] += np.bincount(arm[first], outcome[first], number)
        count, squares, largest = self.total
        self.total = np.array([count + len(arm), squares + outcome @ outcome, max(largest, outcome.max(initial=0.0))])

    @property
    def noise(self) -> float:
        """Standard deviation of outcomes around their arm's mean, with one of variance 1 before the first."""
        explained = (self.sums**2 / np.maximum(self.pulls, 1)).sum()
        return float(np.sqrt((1 + max(self.total[1] - explained, 0.0)) / (1 + self.total[0])))

    def tensors(self) -> dict[str, np.ndarray]:
        """Return copies of the counts."""
        return {name: getattr(self, name).copy() for name in ("pulls", "sums", "first", "total")}

    def load_tensors(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Restore what `tensors` returned."""
        for name, value in tensors.items():
            setattr(self, name, np.array(value, np.float64))


class ArmMemory(Memory):
    """Pulls and summed outcomes of every arm in the session at hand: RecSim's sufficient statistics."""

    def __init__(self, arms: Arms, outcome: Outcome, reward: str | None, users: int) -> None:
        """Start with users of whom nothing is known; `reward` is that of the problem's spec."""
        self.arms, self.outcome, self.reward = arms, outcome, reward
        self.counts: NDArray[np.float32] = np.zeros((users, 2, arms.number), np.float32)

    @property
    def kind(self) -> str:
        """See `Memory.kind`."""
        return f"{type(self.arms).__name__}/{self.outcome}/{self.reward}"

    def extend(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        """Add pulls, then sums: 2 K features."""
        return {**observation, "memory": self.counts.reshape(len(self.counts), -1).copy()}

    def step(
        self, before: Mapping[str, Any], slates: np.ndarray, after: Mapping[str, Any], restarted: np.ndarray
    ) -> None:
        """See `Memory.step`."""
        row = np.arange(len(slates))[:, None]
        arm = self.arms.pulled(slates, np.asarray(before["doc"])[row, slates])
        pulls, sums = self.counts[:, 0], self.counts[:, 1]
        np.add.at(pulls, (row, arm), self.arms.there(slates))
        np.add.at(sums, (row, arm), self.arms.outcomes(responded(after["response"], self.outcome, self.reward)))
        self.counts[restarted] = 0

    def restart(self) -> None:
        """See `Memory.restart`."""
        self.counts[:] = 0

    def get_state(self) -> dict[str, np.ndarray]:
        """See `Memory.get_state`."""
        return {"counts": self.counts.copy()}

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """See `Memory.set_state`."""
        self.counts[:] = state["counts"]


def responded(response: Mapping[str, NDArray[Any]], outcome: Outcome, reward: str | None) -> NDArray[Any]:
    """Return the outcome of each position, `[N, k]`: the click, or the response field that is its reward."""
    click = response["click"]
    return click if outcome == "clicks" or reward is None else click * response[reward]
