"""What a data set holds and what it can be used for, from one pass over its rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.envs.spec import are_numbers
from recsys_cli.offline.dataset import Dataset
from recsys_cli.offline.steps import Steps
from recsys_cli.offline.streaming import Bins, Moments
from recsys_cli.offline.support import Support, SupportCheck

TENTHS = 10
REWARD_BINS, LENGTH_BINS = 24, 24
RATES = ("reward", "clicks", "length")  # of an episode: per step, per step, steps


@dataclass(frozen=True)
class Summary:
    """Mean, standard deviation, standard error and extremes of a column."""

    n: int
    mean: float
    sd: float
    error: float
    low: float
    high: float

    @classmethod
    def of(cls, moments: Moments, column: int) -> Summary:
        """Return a column's."""
        parts = (moments.mean, moments.sd, moments.error, moments.low, moments.high)
        return cls(int(moments.n[column]), *(float(part[column]) for part in parts))


@dataclass(frozen=True)
class Histogram:
    """Counts between edges; one edge more than counts."""

    edges: list[float]
    counts: list[int]

    @classmethod
    def of(cls, bins: Bins, most: int) -> Histogram:
        """Return at most so many bins."""
        edges, counts = bins.coarse(most)
        return cls(edges.tolist(), counts.tolist())


@dataclass(frozen=True)
class Drift:
    """Means over episodes, in ten groups one after another.

    Attributes:
        order: `time`, or `episode` if the log has no times.
        episodes: in each group.
        means: of reward per step, clicks per step and length, a list of groups each.
        deviations: difference of the last and the first group, in standard errors.
    """

    order: str
    episodes: list[int]
    means: dict[str, list[float]]
    deviations: dict[str, float]


@dataclass(frozen=True)
class Description:
    """A data set in numbers.

    Attributes:
        rows, steps, episodes, bytes, parts: counts.
        about: how it was logged.
        problem: its sizes.
        ends: episodes that terminated, were truncated, or end without either.
        returns, lengths, rewards, clicks: of episodes the first two, of steps the others.
        shown, clicked: by position, `[k]`.
        documents: what `items_shown` counts: `topic`, `item`, or None if documents have neither.
        items_shown, items_clicked: by number of the topic or the item.
        reward_histogram, length_histogram: of steps, of episodes.
        support: of the propensities.
        drift: over time.
    """

    rows: int
    steps: int
    episodes: int
    bytes: int
    parts: int
    about: dict[str, Any]
    problem: dict[str, Any]
    ends: dict[str, int]
    returns: Summary
    lengths: Summary
    rewards: Summary
    clicks: Summary
    shown: list[int]
    clicked: list[int]
    documents: str | None
    items_shown: list[int]
    items_clicked: list[int]
    reward_histogram: Histogram
    length_histogram: Histogram
    support: Support
    drift: Drift

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


class Describer:
    """Adds up what a description needs, batch by batch."""

    def __init__(self, dataset: Dataset) -> None:
        """Begin with no rows."""
        self.dataset, spec = dataset, dataset.spec
        documents = spec.documents
        numbers = documents.numbers or documents.topics
        self.documents = None if not numbers else "item" if documents.items is not None else "topic"
        self.shown, self.clicked = np.zeros(spec.slate_size, np.int64), np.zeros(spec.slate_size, np.int64)
        self.items = np.zeros((2, numbers), np.int64)
        self.of_steps, self.of_episodes = Moments(2), Moments(2)
        self.rewards, self.lengths = Bins(), Bins(whole=True)
        self.when = Bins(256, columns=2 * len(RATES))
        self.ends, self.order, self.done = np.zeros(3, np.int64), "episode", 0
        self.support = SupportCheck.of(dataset)

    def add(self, steps: Steps) -> None:
        """Add a batch of whole episodes."""
        self.support.add(steps)
        self._add_slates(steps)
        clicks = steps.clicks().sum(1, where=steps.valid[:, None])
        rewards = np.where(steps.valid, steps.reward, 0.0)
        self.of_steps.add(np.stack([rewards, clicks], axis=1)[steps.valid])
        self.rewards.add(steps.reward[steps.valid])
        lengths, returns = steps.per_episode(steps.valid.astype(np.int64)), steps.returns()
        self.of_episodes.add(np.stack([returns, lengths], axis=1))
        self.lengths.add(lengths)
        some = np.maximum(lengths, 1)
        self._add_rates(steps, np.stack([returns / some, steps.per_episode(clicks) / some, lengths], axis=1))
        terminated, truncated = (
            steps.per_episode(ends.astype(np.int64)) for ends in (steps.terminated, steps.truncated)
        )
        neither = len(lengths) - int((terminated + truncated > 0).sum())
        self.ends += (int((terminated > 0).sum()), int((truncated > 0).sum()), neither)
        self.done += len(lengths)

    def _add_slates(self, steps: Steps) -> None:
        shown = (steps.slate >= 0) & steps.valid[:, None]
        clicked = (steps.clicks() > 0) & shown
        self.shown += shown.sum(0)
        self.clicked += clicked.sum(0)
        if self.documents is not None:
            doc = steps.doc[np.arange(len(steps))[:, None], steps.slate]
            number = doc if are_numbers(doc) else self.dataset.spec.documents.topics_of(doc)
            for counts, which in zip(self.items, (shown, clicked), strict=True):
                counts += np.bincount(number[which], minlength=self.items.shape[1])

    def _add_rates(self, steps: Steps, rates: NDArray[np.float64]) -> None:
        when: NDArray[Any] = self.done + np.arange(len(rates))
        if steps.time is not None:
            self.order, when = "time", steps.time[steps.starts]
        self.when.add(when, np.concatenate([rates, np.square(rates)], axis=1))

    def result(self) -> Description:
        """Return the description of what was added."""
        dataset, spec = self.dataset, self.dataset.spec
        problem = {
            "name": spec.name,
            "num_candidates": [spec.min_candidates, spec.num_candidates] if spec.varying else spec.num_candidates,
            "slate_size": spec.slate_size,
            "user_features": len(spec.user),
            "document_features": len(spec.documents),
            "documents": spec.documents.numbers or None,
        }
        returns, lengths = (Summary.of(self.of_episodes, column) for column in (0, 1))
        rewards, clicks = (Summary.of(self.of_steps, column) for column in (0, 1))
        return Description(
            rows=dataset.rows,
            steps=dataset.steps,
            episodes=dataset.episodes,
            bytes=sum(part.bytes for part in dataset.parts),
            parts=len(dataset.parts),
            about=dataset.about,
            problem=problem,
            ends=dict(zip(("terminated", "truncated", "neither"), self.ends.tolist(), strict=True)),
            returns=returns,
            lengths=lengths,
            rewards=rewards,
            clicks=clicks,
            shown=self.shown.tolist(),
            clicked=self.clicked.tolist(),
            documents=self.documents,
            items_shown=self.items[0].tolist(),
            items_clicked=self.items[1].tolist(),
            reward_histogram=Histogram.of(self.rewards, REWARD_BINS),
            length_histogram=Histogram.of(self.lengths, LENGTH_BINS),
            support=self.support.result(),
            drift=self._drift(),
        )

    def _drift(self) -> Drift:
        groups = self.when.quantile_groups(TENTHS)
        episodes = np.bincount(groups, self.when.counts, TENTHS)
        sums = np.stack([np.bincount(groups, column, TENTHS) for column in self.when.sums.T], axis=1)
        some = np.maximum(episodes, 1)[:, None]
        means, squares = np.split(sums / some, 2, axis=1)
        variance = np.maximum(squares - np.square(means), 0) / np.maximum(some - 1, 1)
        there = np.flatnonzero(episodes)
        first, last = (there[0], there[-1]) if len(there) else (0, 0)
        error = np.sqrt(variance[first] + variance[last])
        apart = np.divide(means[last] - means[first], error, out=np.zeros(len(RATES)), where=error > 0)
        return Drift(
            self.order,
            episodes[there].astype(int).tolist(),
            {name: means[there, column].tolist() for column, name in enumerate(RATES)},
            dict(zip(RATES, apart.tolist(), strict=True)),
        )


def describe(dataset: Dataset, described: Callable[[int], None] = lambda episodes: None) -> Description:
    """Read a data set once, in constant memory.

    Args:
        dataset: to be described.
        described: gets the number of episodes that were read, batch by batch.

    Raises:
        ConfigError: a part is damaged.
    """
    describer = Describer(dataset)
    for steps in dataset.batches():
        describer.add(steps)
        described(len(steps.starts))
    return describer.result()
