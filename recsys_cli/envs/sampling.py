"""Fast draws for many documents at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_TABLE = 1 << 18  # entries of a decoding table: it should stay in the processor's cache
BLOCK_BYTES = 1 << 19  # of a large observation written at a time, for the same reason
CACHED_BYTES = 1 << 21  # up to which an observation stays in the cache while it is written


def draw_topics(rng: np.random.Generator, cumulative: NDArray[np.float32], size: int) -> NDArray[np.uint8]:
    """Draw `size` topics with P(topic <= t) = `cumulative[t]`; the last entry is taken as 1."""
    uniform = rng.random(size, dtype=np.float32)
    if len(cumulative) > 16:
        return np.searchsorted(cumulative[:-1], uniform, side="right").astype(np.uint8)
    topics = np.zeros(size, np.uint8)
    for edge in cumulative[:-1]:
        topics += uniform >= edge
    return topics


class UniformTopics:
    """Draws a fixed number of topics, each of T equally likely.

    One random number is decoded into a group of topics through a table, since random numbers are the main cost.
    """

    def __init__(self, num_topics: int, size: int) -> None:
        """Build the table.

        Args:
            num_topics: T.
            size: topics per draw.
        """
        self._size = size
        self._dtype: type[Any] = np.uint8 if num_topics <= 256 else np.int16
        group = max(group for group in (1, 2, 4) if group == 1 or num_topics**group <= MAX_TABLE)
        digits = np.stack(np.unravel_index(np.arange(num_topics**group), (num_topics,) * group), axis=1)
        packed = np.ascontiguousarray(digits.astype(self._dtype))
        self._table = packed.view(f"u{group * packed.itemsize}").reshape(-1)  # a group's topics as one number
        self._numbers = -(-size // group)

    def draw(self, rng: np.random.Generator) -> NDArray[Any]:
        """Return a fresh array of topics `[size]`."""
        numbers = rng.random(self._numbers)
        # 53 random bits over at most 2^18 entries: no entry is favoured by more than 3e-11.
        numbers *= len(self._table)
        return self._table.take(numbers.astype(np.intp), mode="clip").view(self._dtype)[: self._size]


class OneHot:
    """Writes topics one-hot.

    Output that fits in the processor's cache is copied row by row from a table. Larger output is written in blocks,
    each zeroed and then filled while it is in the cache, so that memory is written once and never read.
    """

    def __init__(self, num_topics: int) -> None:
        """Set the number of topics (T)."""
        self._starts = np.arange(max(1, BLOCK_BYTES // (4 * num_topics))) * num_topics
        self._rows = np.eye(num_topics, dtype=np.float32) if num_topics <= 256 else None

    def write(self, topics: NDArray[Any], out: NDArray[np.float32]) -> None:
        """Write `topics` into `out`, which is contiguous and one axis longer."""
        flat, rows = topics.reshape(-1), out.reshape(topics.size, -1)
        if self._rows is not None and out.nbytes <= CACHED_BYTES:
            # Any mode but "clip" would go through a copy of `rows`.
            self._rows.take(flat.astype(np.intp), axis=0, out=rows, mode="clip")
            return
        for begin in range(0, len(flat), len(self._starts)):
            block = rows[begin : begin + len(self._starts)]
            block.fill(0)
            block.reshape(-1)[self._starts[: len(block)] + flat[begin : begin + len(block)]] = 1


class LogNormalDocuments:
    """Documents with a topic from a given distribution and a quality log-normal given the topic."""

    def __init__(self, distribution: list[float], log_mean: list[float], log_stddev: list[float]) -> None:
        """Take the topics' probabilities and the parameters of their qualities' logarithms, `[T]` each."""
        self._edges = np.cumsum(distribution).astype(np.float32)
        self._mean = np.asarray(log_mean, np.float32)
        self._stddev = np.asarray(log_stddev, np.float32)
        self._rows = np.eye(len(distribution), len(distribution) + 1, dtype=np.float32)

    def draw(self, rng: np.random.Generator, size: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Return topics and qualities, fresh arrays of `size`."""
        topics = draw_topics(rng, self._edges, size)
        quality = rng.standard_normal(size, dtype=np.float32)
        quality *= self._stddev.take(topics)
        quality += self._mean.take(topics)
        return topics, np.exp(quality, out=quality)

    def features(self, topics: NDArray[np.uint8], quality: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        """Write the observation into `out` `[..., T + 1]`: the topic one-hot, then the quality."""
        self._rows.take(topics.astype(np.intp), axis=0, out=out, mode="clip")
        out[..., -1] = quality
