"""Prioritised experience replay (Schaul et al. 2016, the proportional variant)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.rollouts.chunk import Chunk
from recsys_cli.rollouts.replay import ReplayBuffer, Ring

SMALLEST = 1e-3  # added to every error, in its units: well predicted transitions are still drawn now and then


class PrioritizedReplay(ReplayBuffer):
    """Draws transitions with a probability that rises with their last temporal-difference error.

    One call draws many minibatches, so that a cumulative sum over the buffer costs less than the paper's sum-tree for
    one minibatch at a time; priorities change between calls.
    """

    def __init__(self, *buffer: int, alpha: float = 0.6, beta: float = 0.4, **steps: Any) -> None:
        """Make an empty buffer.

        Args:
            buffer: capacity, streams and seed, as of `ReplayBuffer`.
            alpha: exponent of the error in the probability; 0 is uniform.
            beta: exponent of the importance weights at the start of training; 1 at its end.
            steps: n_step and discount, as of `ReplayBuffer`.
        """
        super().__init__(*buffer, **steps)
        self.alpha, self.beta = alpha, beta
        self.priorities: dict[int, NDArray[np.float32]] = {}  # (error + SMALLEST) ** alpha, [rows, N] a stream
        self.highest = 1.0  # what new transitions get, so that each is drawn soon

    def add(self, chunk: Chunk) -> None:
        """Append a runner's chunk; its transitions get the highest priority so far."""
        super().add(chunk)
        ring = self.rings[chunk.stream]
        priority = self.priorities.setdefault(chunk.stream, np.zeros((ring.rows, ring.users), np.float32))
        newest = min(len(chunk.valid), ring.rows)
        priority[(ring.head - 1 - np.arange(newest)) % ring.rows] = self.highest

    def nbytes(self) -> int:
        """Return the memory of the arrays, in bytes."""
        return super().nbytes() + sum(priority.nbytes for priority in self.priorities.values())

    def sample(self, n: int, progress: float = 1.0) -> dict[str, np.ndarray]:
        """Draw n transitions by priority, with replacement.

        Args:
            n: number of transitions.
            progress: how much of the training is done, 0..1.

        Returns:
            The columns of `ReplayBuffer.sample` and `weight` [n] float32, the importance weights, at most 1; and
            `replay_index` [n], by which `update` knows the transitions.
        """
        chances = np.concatenate([self._chances(stream, ring) for stream, ring in self.rings.items()])
        cumulated = chances.cumsum(dtype=np.float64)
        # Rising targets walk through memory in order; minibatches are cut in sequence, so the draws are shuffled after.
        target = np.sort(self.rng.random(n)) * cumulated[-1]
        index = np.searchsorted(cumulated, target, side="right")
        self.rng.shuffle(index)
        beta = self.beta + (1 - self.beta) * min(progress, 1.0)
        weight = chances[index] ** -beta
        columns = self._gather(index)
        return {**columns, "weight": (weight / weight.max()).astype(np.float32), "replay_index": index}

    def _chances(self, stream: int, ring: Ring) -> NDArray[np.float32]:
        """Return the flat priorities of a ring, 0 for entries that cannot be drawn."""
        usable = np.zeros((ring.rows, 1), bool)
        usable[(ring.head - ring.filled + np.arange(ring.usable_rows)) % ring.rows] = True
        return (self.priorities[stream] * (ring.arrays["valid"] & usable)).ravel()

    def _gather(self, index: NDArray[np.int64]) -> dict[str, np.ndarray]:
        columns: dict[str, np.ndarray] = {}
        for stream, where, inside in self._by_ring(index):
            part = self.rings[stream].gather(inside, self.discount)
            for name, values in part.items():
                if name not in columns:
                    columns[name] = np.empty((len(index), *values.shape[1:]), values.dtype)
                columns[name][where] = values
        return columns

    def update(self, index: NDArray[np.int64], error: NDArray[np.float32]) -> None:
        """Update the errors of sampled transitions; to be called before anything else is added.

        Args:
            index: their `replay_index`, `[n]`; if one appears more than once, the last counts.
            error: their temporal-difference errors, `[n]`.
        """
        priority = ((np.abs(error) + SMALLEST) ** self.alpha).astype(np.float32)
        self.highest = max(self.highest, float(priority.max()))
        for stream, where, inside in self._by_ring(index):
            self.priorities[stream].ravel()[inside] = priority[where]

    def _by_ring(self, index: NDArray[np.int64]) -> Iterator[tuple[int, Any, NDArray[np.int64]]]:
        """Yield each ring's stream, which entries of `index` belong to it, and their places in it."""
        start = 0
        for stream, ring in self.rings.items():
            inside = index - start
            size = ring.rows * ring.users
            own = (inside >= 0) & (inside < size)
            yield stream, own, inside[own]
            start += size

    def get_state(self) -> dict[str, Any]:
        """Return everything, for a continuation that draws the same samples."""
        return {**super().get_state(), "priorities": self.priorities, "highest": self.highest}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore what `get_state` returned."""
        super().set_state(state)
        self.priorities, self.highest = state["priorities"], state["highest"]
