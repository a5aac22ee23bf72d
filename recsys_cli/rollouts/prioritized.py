"""Prioritised experience replay (Schaul et al. 2016, the proportional variant)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.rollouts.chunk import Chunk
from recsys_cli.rollouts.replay import ReplayBuffer, Ring

SMALLEST = 1e-3  # added to every error, in its units: what was once predicted well is still drawn now and then


class PrioritizedReplay(ReplayBuffer):
    """Draws transitions with a probability that rises with their last temporal-difference error.

    One call draws many minibatches, so that a cumulated sum over the buffer costs less than the sum-tree that the paper
    keeps for one minibatch at a time; priorities change between calls.
    """

    def __init__(
        self,
        capacity: int,
        streams: int,
        seed: int,
        *,
        n_step: int = 1,
        discount: float = 1.0,
        alpha: float = 0.6,
        beta: float = 0.4,
    ) -> None:
        """Make an empty buffer; see `ReplayBuffer`.

        Args:
            capacity: transitions kept in all.
            streams: number of runners that feed it.
            seed: of the sampling.
            n_step: steps whose rewards a sampled transition sums.
            discount: of one step.
            alpha: exponent of the error in the probability; 0 is uniform.
            beta: exponent of the importance weights at the start of training; 1 at its end.
        """
        super().__init__(capacity, streams, seed, n_step=n_step, discount=discount)
        self.alpha, self.beta = alpha, beta
        self.priorities: dict[int, NDArray[np.float32]] = {}  # (error + SMALLEST) ** alpha, [rows, N] a stream
        self.highest = 1.0  # what new transitions get, so that each is drawn soon

    def add(self, chunk: Chunk) -> None:
        """Append a runner's chunk; its transitions get the highest priority there is."""
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
        """Return the flat priorities of a ring, 0 where no transition can be drawn."""
        usable = np.zeros((ring.rows, 1), bool)
        usable[(ring.head - ring.filled + np.arange(ring.usable_rows)) % ring.rows] = True
        return (self.priorities[stream] * (ring.arrays["valid"] & usable)).ravel()

    def _gather(self, index: NDArray[np.int64]) -> dict[str, np.ndarray]:
        columns: dict[str, np.ndarray] = {}
        for where, ring, inside in self._of_rings(index):
            part = ring.gather(inside, self.discount)
            for name, values in part.items():
                if name not in columns:
                    columns[name] = np.empty((len(index), *values.shape[1:]), values.dtype)
                columns[name][where] = values
        return columns

    def update(self, index: NDArray[np.int64], error: NDArray[np.float32]) -> None:
        """Take in the newest errors of sampled transitions; to be called before anything else is added.

        Args:
            index: their `replay_index`, `[n]`; of one that appears more than once, the last counts.
            error: their temporal-difference errors, `[n]`.
        """
        priority = ((np.abs(error) + SMALLEST) ** self.alpha).astype(np.float32)
        self.highest = max(self.highest, float(priority.max()))
        streams = list(self.rings)
        for number, (where, _, inside) in enumerate(self._of_rings(index)):
            self.priorities[streams[number]].ravel()[inside] = priority[where]

    def _of_rings(self, index: NDArray[np.int64]) -> list[tuple[Any, Ring, NDArray[np.int64]]]:
        """Return for each ring which entries of `index` are its own, and their places in it."""
        rings = list(self.rings.values())
        if len(rings) == 1:
            return [(slice(None), rings[0], index)]
        ends = np.cumsum([ring.rows * ring.users for ring in rings])
        own = np.searchsorted(ends, index, side="right")
        starts = np.concatenate([[0], ends[:-1]])
        return [(own == i, ring, index[own == i] - starts[i]) for i, ring in enumerate(rings)]

    def get_state(self) -> dict[str, Any]:
        """Return everything, for a continuation that draws the same samples."""
        return {**super().get_state(), "priorities": self.priorities, "highest": self.highest}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take back what `get_state` returned."""
        super().set_state(state)
        self.priorities, self.highest = state["priorities"], state["highest"]
