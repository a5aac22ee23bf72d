"""Fast draws for many documents at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_TABLE = 1 << 18  # entries of a decoding table: it should stay in the processor's cache
BLOCK = 1 << 14  # numbers made at a time: their temporary arrays stay in the cache, and their memory is reused
BLOCK_BYTES = 1 << 19  # of large one-hot rows written at a time
AHEAD = 1 << 15  # numbers drawn at once, if a step needs fewer
STEPS_AHEAD = 64  # for which numbers are drawn at most
FEW = 2048  # numbers, below which NumPy's own are faster
FEW_TOPICS = 8  # up to which one-hot topics are written column by column


class Ahead:
    """Numbers of one kind, drawn for several steps at once: a call of NumPy costs as much as a thousand numbers.

    Attributes:
        left: those not used yet, `[steps, *shape]`; part of the env's state.
    """

    def __init__(self, draw: Callable[[np.random.Generator, int], NDArray[Any]], *shape: int, users: int = 0) -> None:
        """Set what draws so many numbers, the shape of those of a step, and which of its axes is the users'."""
        self._draw, self._shape, self._users, self._alike = draw, shape, users, 1
        self._steps = min(max(AHEAD // max(math.prod(shape), 1), 1), STEPS_AHEAD)
        self.left: NDArray[Any] = np.empty((0, *shape))

    def share(self, alike: int) -> None:
        """Draw the same numbers for every so many neighbours."""
        self._alike = alike

    def clear(self) -> None:
        """Forget the numbers drawn so far."""
        self.left = self.left[:0]

    def take(self, rng: np.random.Generator) -> NDArray[Any]:
        """Return a step's numbers `[*shape]`, in memory that is not written to again."""
        if not len(self.left):
            shape = [n // self._alike if axis == self._users else n for axis, n in enumerate(self._shape)]
            self.left = self._draw(rng, self._steps * math.prod(shape)).reshape(self._steps, *shape)
            if self._alike > 1:
                self.left = self.left.repeat(self._alike, axis=1 + self._users)
        numbers: NDArray[Any] = self.left[0]
        self.left = self.left[1:]
        return numbers


def uniform(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    """Return numbers `[size]` in [0, 1), multiples of 2^-24, as `rng.random` does; many of them in half the time."""
    if size < FEW:
        return rng.random(size, dtype=np.float32)
    numbers = np.empty(size, np.float32)
    for part in _blocks(size):
        numbers[part] = _words(rng, part.stop - part.start) >> np.uint32(8)
        numbers[part] *= np.float32(2**-24)
    return numbers


def normal(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    """Return standard normal numbers `[size]`; many of them by Box and Muller's method, in a third of the time.

    None of those is further than 6.8 from 0, which one of 10^11 would be.
    """
    if size < FEW:
        return rng.standard_normal(size, dtype=np.float32)
    numbers = np.empty(size, np.float32)
    for part in _blocks(size):
        block = numbers[part]
        pairs = -(-len(block) // 2)
        words = _words(rng, 2 * pairs).astype(np.float32)
        radius, angle = words[:pairs], words[pairs:]
        radius += np.float32(0.5)  # the logarithm of 0 is not drawn
        radius *= np.float32(2**-32)
        np.log(radius, out=radius)
        radius *= np.float32(-2)
        np.sqrt(radius, out=radius)
        angle *= np.float32(2 * np.pi / 2**32)
        np.multiply(radius, np.cos(angle), out=block[:pairs])
        second = len(block) - pairs
        np.multiply(radius[:second], np.sin(angle[:second]), out=block[pairs:])
    return numbers


def _words(rng: np.random.Generator, size: int) -> NDArray[np.uint32]:
    """Return 32 random bits each, `[size]`: the generator's own output, without a call per number."""
    return rng.bit_generator.random_raw(-(-size // 2)).view(np.uint32)[:size]


def _blocks(size: int) -> Iterator[slice]:
    return (slice(begin, min(begin + BLOCK, size)) for begin in range(0, size, BLOCK))


def draw_topics(rng: np.random.Generator, cumulative: NDArray[np.float32], size: int) -> NDArray[np.uint8]:
    """Draw `size` topics with P(topic <= t) = `cumulative[t]`; the last entry is taken as 1."""
    numbers = uniform(rng, size)
    if len(cumulative) > 16:
        return np.searchsorted(cumulative[:-1], numbers, side="right").astype(np.uint8)
    topics = np.zeros(size, np.uint8)
    for edge in cumulative[:-1]:
        topics += numbers >= edge
    return topics


class UniformTopics:
    """Draws topics, each of T equally likely.

    32 random bits are decoded into a group of topics through a table, since random numbers are the main cost.
    """

    def __init__(self, num_topics: int) -> None:
        """Build the table for `num_topics` (T)."""
        self._dtype: type[Any] = np.uint8 if num_topics <= 256 else np.int16
        self._group = group = max(group for group in (1, 2, 4) if group == 1 or num_topics**group <= MAX_TABLE)
        digits = np.stack(np.unravel_index(np.arange(num_topics**group), (num_topics,) * group), axis=1)
        packed = np.ascontiguousarray(digits.astype(self._dtype))
        self._table = packed.view(f"u{group * packed.itemsize}").reshape(-1)  # a group's topics as one number

    def draw(self, rng: np.random.Generator, size: int) -> NDArray[Any]:
        """Return a fresh array of topics `[size]`."""
        groups = np.empty(-(-size // self._group), self._table.dtype)
        for part in _blocks(len(groups)):
            # 2^32 numbers for at most 2^18 entries: none is favoured by more than 6e-5.
            numbers = _words(rng, part.stop - part.start).astype(np.uint64)
            numbers *= np.uint64(len(self._table))
            numbers >>= np.uint64(32)
            self._table.take(numbers.view(np.int64), mode="clip", out=groups[part])
        return groups.view(self._dtype)[:size]


class OneHot:
    """Writes topics one-hot.

    Few topics are written as columns, more as rows that are copied from a table. If the table would be large, memory is
    zeroed and the ones are written while it is in the processor's cache.
    """

    def __init__(self, num_topics: int, width: int | None = None) -> None:
        """Set the number of topics (T) and the length of a row; what follows the topics in it is overwritten."""
        self._num_topics, self._width = num_topics, width or num_topics
        few = FEW_TOPICS < num_topics <= 256
        self._rows = np.eye(num_topics, self._width, dtype=np.float32) if few else None

    def write(self, topics: NDArray[Any], out: NDArray[np.float32]) -> None:
        """Write `topics` into `out`, which is contiguous and one axis longer."""
        flat, rows = topics.reshape(-1), out.reshape(topics.size, self._width)
        if self._num_topics <= FEW_TOPICS:
            for topic in range(self._num_topics):
                rows[:, topic] = (flat == topic).view(np.uint8)  # NumPy converts numbers faster than truth values
        elif self._rows is not None:
            for part in _blocks(len(flat)):
                # Any mode but "clip" would go through a copy of `rows`.
                self._rows.take(flat[part].astype(np.intp), axis=0, out=rows[part], mode="clip")
        else:
            step = max(1, BLOCK_BYTES // (4 * self._width))
            starts = np.arange(step) * self._width
            for begin in range(0, len(flat), step):
                block = rows[begin : begin + step]
                block.fill(0)
                block.reshape(-1)[starts[: len(block)] + flat[begin : begin + step]] = 1


class LogNormalDocuments:
    """Documents with a topic from a given distribution and a quality log-normal given the topic."""

    def __init__(self, distribution: list[float], log_mean: list[float], log_stddev: list[float]) -> None:
        """Take the topics' probabilities and the parameters of their qualities' logarithms, `[T]` each."""
        self._edges = np.cumsum(distribution).astype(np.float32)
        self._mean = np.asarray(log_mean, np.float32)
        self._stddev = np.asarray(log_stddev, np.float32)
        self._same_stddev = len(set(log_stddev)) == 1
        self._one_hot = OneHot(len(distribution), len(distribution) + 1)

    def topics(self, rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
        """Draw topics, a fresh array of `size`."""
        return draw_topics(rng, self._edges, size)

    def quality(self, topics: NDArray[np.uint8], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the qualities of documents with these topics, a fresh array, given standard normal numbers."""
        quality = np.empty_like(noise)
        for part in _blocks(noise.size):
            block, numbers = quality.reshape(-1)[part], topics.reshape(-1)[part].astype(np.intp)
            stddev = self._stddev[0] if self._same_stddev else self._stddev.take(numbers)
            np.multiply(noise.reshape(-1)[part], stddev, out=block)
            block += self._mean.take(numbers)
            np.exp(block, out=block)
        return quality

    def features(self, topics: NDArray[np.uint8], quality: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        """Write the observation into `out` `[..., T + 1]`: the topic one-hot, then the quality."""
        self._one_hot.write(topics, out)
        out[..., -1] = quality
