"""Users and slates as numbers: every feature in one of a few bins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.policies.memory import MemoryKind, memory_features

if TYPE_CHECKING:
    from recsys_cli.envs.spec import ProblemSpec

Ints = NDArray[np.int64]


class Discretisation:
    """Numbers the kinds of users and of slates that a table distinguishes.

    Features are binned with equal width between their bounds, or between `bounds` if they have no finite ones; values
    outside go to the first or last bin. Memory features are of order 1 and binned between 0 and 1. A document's one-hot
    topic is used as it is. Slates of the same kinds of documents count as one, in any order if order does not matter.

    Attributes:
        shape: number of kinds of users, and of slates.
    """

    def __init__(
        self, spec: ProblemSpec, memory: MemoryKind, user_bins: int, doc_bins: int, bounds: tuple[float, float]
    ) -> None:
        """Take the problem and the bins of a feature."""
        self.memory, self.ordered, self.attended = memory, spec.order_matters, spec.attended
        self.user_bins, self.doc_bins, self.documents = user_bins, doc_bins, spec.documents
        self.topics = spec.documents.topics
        low, high = finite(spec.user.bounds, bounds)
        more = memory_features(memory, spec)
        self.user_bounds = np.append(low, np.zeros(more)), np.append(high, np.ones(more))
        low, high = finite(spec.documents.features.bounds, bounds)
        self.doc_bounds = low[self.topics :], high[self.topics :]
        # Python's integers: the size of a table that is too large must be reported correctly.
        self.kinds = max(self.topics, 1) * doc_bins ** (len(spec.documents) - self.topics)
        self.shape = (user_bins ** (len(spec.user) + more), self.kinds**self.attended)

    def users(self, user: NDArray[Any]) -> Ints:
        """Return the kinds `[n]` of users `[n, U]`."""
        return in_bins(user, self.user_bounds, self.user_bins)

    def kinds_of(self, doc: NDArray[Any]) -> Ints:
        """Return the kinds `[n, m]` of documents `[n, m, F]`, or of numbers `[n, m]`."""
        if self.documents.one_hot:
            return self.documents.topics_of(doc)
        rest = in_bins(self.documents.dense(doc)[..., self.topics :], self.doc_bounds, self.doc_bins)
        if not self.topics:
            return rest
        return self.documents.topics_of(doc) * (self.kinds // self.topics) + rest

    def slates(self, kinds: Ints) -> Ints:
        """Return the kinds `[..]` of slates of documents of these kinds `[.., attended]`."""
        if not self.ordered:
            kinds = np.sort(kinds, axis=-1)
        number: Ints = kinds @ self.kinds ** np.arange(self.attended)[::-1]
        return number


def finite(
    bounds: tuple[NDArray[Any], NDArray[Any]], otherwise: tuple[float, float]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return bounds, those of features that have an infinite one replaced by others."""
    known = np.isfinite(bounds[0]) & np.isfinite(bounds[1])
    low, high = (np.where(known, bound, other) for bound, other in zip(bounds, otherwise, strict=True))
    return low, high


def in_bins(features: NDArray[Any], bounds: tuple[NDArray[Any], NDArray[Any]], bins: int) -> Ints:
    """Return one number `[..]` for the bins that features `[.., F]` lie in."""
    low, high = bounds
    share = (features - low) / np.where(high > low, high - low, 1.0)
    digits = np.clip(np.floor(share * bins), 0, bins - 1).astype(np.int64)
    number: Ints = digits @ bins ** np.arange(len(low), dtype=np.int64)[::-1]
    return number
