"""What features look like at the first step of a session, in a few numbers each: to notice when requests differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.envs.spec import ProblemSpec

BINS = 10
FEW = 2 * BINS  # a feature with at most so many values has bins between values, not between deciles
_NEVER = np.finfo(np.float32).max  # an edge that no value passes: tensors of a checkpoint must be finite
_AT_ONCE = 1 << 22  # values that are compared at a time

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Profile:
    """Moments and bins of R features: those of the user, of a candidate, and the number of candidates.

    A value x lies in the bin with as many edges below x. Features with few values have fewer bins, and edges that no
    value passes.

    Attributes:
        mean: `[R]`.
        std: `[R]`, 0 for a constant.
        edges: `[R, BINS - 1]`, rising.
        shares: of each bin, `[R, BINS]`.
        sessions: that the rows are of: how sure all this is.
    """

    mean: Floats
    std: Floats
    edges: Floats
    shares: Floats
    sessions: int

    @classmethod
    def of(cls, rows: NDArray[np.float32]) -> Profile:
        """Describe rows `[n, R]` (see `rows_of`), each of another session."""
        columns = [_edges(column) for column in rows.T]
        edges = np.full((len(columns), BINS - 1), _NEVER, np.float32)
        for row, own in zip(edges, columns, strict=True):
            row[: len(own)] = own
        counts = binned(rows, edges)
        return cls(rows.mean(0, np.float64), rows.std(0, dtype=np.float64), edges, counts / len(rows), len(rows))

    def packed(self) -> NDArray[np.float32]:
        """Return all of it as one array `[R, 2 + 2 BINS]`."""
        sessions = np.full(len(self.mean), self.sessions)
        return np.column_stack([sessions, self.mean, self.std, self.edges, self.shares]).astype(np.float32)

    @classmethod
    def unpacked(cls, array: NDArray[np.float32], spec: ProblemSpec) -> Profile:
        """Restore what `packed` returned.

        Raises:
            ValueError: the array is something else, or of another problem.
        """
        shape = (len(names_of(spec)), 2 + 2 * BINS)
        if array.shape != shape:
            raise ValueError(f"a profile of features has shape {list(shape)}, not {list(array.shape)}")
        edges, shares = array[:, 3 : 2 + BINS], array[:, 2 + BINS :]
        return cls(array[:, 1], array[:, 2], edges, shares, int(array[0, 0]))


def binned(rows: Floats, edges: Floats) -> NDArray[np.int64]:
    """Return how many of the rows `[n, R]` lie in each bin, `[R, BINS]`."""
    features = edges.shape[0]
    first, total = np.arange(features) * BINS, np.zeros(features * BINS, np.int64)
    for part in np.array_split(rows, max(rows.size * BINS // _AT_ONCE, 1)):
        total += np.bincount(((part[:, :, None] > edges).sum(-1) + first).ravel(), minlength=len(total))
    return total.reshape(features, BINS)


def rows_of(
    spec: ProblemSpec, user: Floats, doc: NDArray[Any], mask: NDArray[np.bool_] | None, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return a row `[R]` for each of N users: their features, those of a random candidate, and how many there are.

    A candidate's one-hot topic is one number.

    Args:
        spec: the problem.
        user: `[N, U]`.
        doc: `[N, C, F]`, or numbers `[N, C]`.
        mask: which candidates are present, `[N, C]`; None: all.
        rng: draws the candidates.
    """
    size, width = doc.shape[:2]
    if mask is None:
        count, chosen = np.full(size, width), rng.integers(width, size=size)
    else:
        count, chosen = mask.sum(1), (mask * rng.random(mask.shape)).argmax(1)
    shown, topics = doc[np.arange(size), chosen], spec.documents.topics
    topic = [spec.documents.topics_of(shown)[:, None]] if topics else []
    return np.concatenate([user, *topic, spec.documents.dense(shown)[:, topics:], count[:, None]], 1, dtype=np.float32)


def names_of(spec: ProblemSpec) -> list[str]:
    """Return the names of a row's features, `[R]`."""
    documents, user = spec.documents.features, spec.user
    topic = ["topic"] if spec.documents.topics else []
    rest = (documents.names or range(len(documents)))[spec.documents.topics :]
    own = [f"candidate {name}" for name in (*topic, *rest)]
    return [*(f"user {name}" for name in (user.names or range(len(user)))), *own, "candidates"]


def _edges(column: Floats) -> Floats:
    values = np.unique(column)
    if len(values) > FEW:
        return np.unique(np.quantile(column, np.arange(1, BINS) / BINS))
    middles = (values[1:] + values[:-1]) / 2
    return middles if len(middles) < BINS else middles[np.linspace(0, len(middles) - 1, BINS - 1).astype(int)]
