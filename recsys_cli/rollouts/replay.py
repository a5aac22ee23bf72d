"""Uniform experience replay that keeps one copy of each observation."""

from __future__ import annotations

from typing import Any

import numpy as np

from recsys_cli.networks.belief import BELIEF, BeliefFilter
from recsys_cli.rollouts.chunk import Chunk

RECALLED = 8  # steps back over which a memory learns what to remember (truncated backpropagation through time)


class Ring:
    """The last `rows` lock-steps of one runner's users, time-major, so that the next observation is the next row."""

    def __init__(
        self,
        arrays: dict[str, np.ndarray],
        *,
        rows: int,
        expected: int,
        n_step: int = 1,
        filled: int = 0,
        head: int = 0,
    ) -> None:
        """Take the arrays, `[filled or more, N, ...]` each.

        Args:
            arrays: by the names of `Chunk`.
            rows: that the ring has when full.
            expected: the runner's lock-step count that continues the newest row.
            n_step: steps whose rewards a sampled transition sums.
            filled: rows in use.
            head: physical row that is written next.
        """
        self.arrays = {name: _lengthened(array, rows) for name, array in arrays.items()}
        self.rows, self.users = self.arrays["valid"].shape
        self.expected, self.filled, self.head = expected, filled, head
        self.n_step = n_step

    @classmethod
    def empty(cls, rows: int, like: Chunk, n_step: int = 1) -> Ring:
        """Allocate arrays shaped as the chunk's."""
        return cls({name: array[:0] for name, array in like.arrays()}, rows=rows, expected=like.start, n_step=n_step)

    def get_state(self) -> dict[str, Any]:
        """Return the constructor's arguments, of the arrays only the rows in use."""
        counters = {name: getattr(self, name) for name in ("rows", "expected", "n_step", "filled", "head")}
        return {"arrays": {name: array[: self.filled] for name, array in self.arrays.items()}, **counters}

    def add(self, chunk: Chunk) -> None:
        """Append a chunk; a gap before it makes the newest row unusable, since its next observation is lost."""
        if chunk.start != self.expected and self.filled:
            self.arrays["valid"][self.head - 1] = False
        length = len(chunk.valid)
        keep = min(length, self.rows)
        at = (self.head + np.arange(length - keep, length)) % self.rows
        for name, array in chunk.arrays():
            self.arrays[name][at] = array[length - keep :]
        self.head = (self.head + length) % self.rows
        self.filled = min(self.filled + length, self.rows)
        self.expected = chunk.start + length

    @property
    def usable_rows(self) -> int:
        """Rows followed by `n_step` others: all but the newest."""
        return max(self.filled - self.n_step, 0)

    def usable(self) -> np.ndarray:
        """Return the places of all valid transitions that can be drawn, oldest first."""
        oldest = (self.head - self.filled) % self.rows
        at = self._wrap(np.arange(self.usable_rows * self.users) + oldest * self.users)
        return at[self._take("valid", at)]

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draw n valid transitions uniformly, with replacement; returns their places, `physical row * N + user`."""
        at = self._draw_any(rng, n)
        bad = np.flatnonzero(~self._take("valid", at))
        while bad.size:  # about one in seventy is an autoreset
            at[bad] = self._draw_any(rng, bad.size)
            bad = bad[~self._take("valid", at[bad])]
        return at

    def _draw_any(self, rng: np.random.Generator, n: int) -> np.ndarray:
        oldest = (self.head - self.filled) % self.rows
        return self._wrap(rng.integers(0, self.usable_rows * self.users, n) + oldest * self.users)

    def _wrap(self, at: np.ndarray) -> np.ndarray:
        """Wrap places up to one round too far back into the ring; cheaper than a remainder."""
        size = self.rows * self.users
        return np.where(at >= size, at - size, at)

    def gather(self, at: np.ndarray, discount: float) -> dict[str, np.ndarray]:
        """Return the columns of the transitions at these places (see `ReplayBuffer.sample`)."""
        doc = self._flat("doc")
        slate = self._take("slate", at).astype(np.int64)
        reward, bootstrap, after = self._look_ahead(at, discount)
        candidates = doc.shape[1]
        documents = doc.reshape(len(doc) * candidates, *doc.shape[2:])
        shown = documents.take(at[:, None] * candidates + slate, axis=0, mode="clip")
        more: dict[str, np.ndarray] = {}
        if "evidence" in self.arrays:
            more |= self._recollected(at)
        if "memory" in self.arrays:
            more |= {"memory": self._take("memory", at), "next_memory": self._take("memory", after)}
        if "mask" in self.arrays:
            more |= {"mask": self._take("mask", at), "next_mask": self._take("mask", after), "shown": slate >= 0}
        return {
            **more,
            "user": self._take("user", at),
            "slate_doc": shown,
            "clicked": self._take("clicked", at).astype(np.int64),
            "reward": reward,
            "bootstrap": bootstrap,
            "next_user": self._take("user", after),
            "next_doc": self._take("doc", after),
            "next_slate": self._take("slate", after).astype(np.int64),
        }

    def _recollected(self, at: np.ndarray) -> dict[str, np.ndarray]:
        """Return beliefs a few steps back, and the evidence since then and during the steps whose rewards are summed.

        `belief` [n, H], `evidence` [n, RECALLED + n_step, X]; and `counted` [n, RECALLED + n_step], which of it is of
        the same session.
        """
        oldest = (self.head - self.filled) % self.rows
        places, counted = [at], [np.ones(len(at), bool)]
        back, going = at, counted[0]
        for _ in range(RECALLED):
            before = np.where(back < self.users, back + (self.rows - 1) * self.users, back - self.users)
            going = going & (back // self.users != oldest) & self._take("valid", before)
            back = np.where(going, before, back)
            places.insert(0, back)
            counted.insert(0, going)
        going, ahead = counted[-1], at
        for _ in range(1, self.n_step):
            ahead = self._wrap(ahead + self.users)
            going = going & self._take("valid", ahead)
            places.append(ahead)
            counted.append(going)
        return {
            "belief": self._take("memory", back)[:, -BELIEF:],
            "evidence": self._take("evidence", np.stack(places, 1)),
            "counted": np.stack(counted, 1),
        }

    def refresh(self, filter_: BeliefFilter) -> None:
        """Compute the beliefs at every row anew, from the oldest row's."""
        order = (self.head - self.filled + np.arange(self.filled)) % self.rows
        filter_.refresh(
            self.arrays["memory"][..., -BELIEF:], self.arrays["evidence"], self.arrays["valid"], order.tolist()
        )

    def _flat(self, name: str) -> np.ndarray:
        array = self.arrays[name]
        return array.reshape(self.rows * self.users, *array.shape[2:])

    def _take(self, name: str, at: np.ndarray) -> np.ndarray:
        """Return entries by place; this takes an eighth of the time of indexing by row and user."""
        return self._flat(name).take(at, axis=0, mode="clip")

    def _look_ahead(self, at: np.ndarray, discount: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sum the rewards of up to `n_step` steps; return the sums, the bootstrap's factor, and its place.

        The end of an episode ends the sum: the row after its last step is not a valid transition, but holds its true
        last observation (next-step autoreset), from which a truncated episode is bootstrapped.
        """
        last, after = at, self._wrap(at + self.users)
        reward, factor = self._take("reward", at), np.full(len(at), discount, np.float32)
        for _ in range(1, self.n_step):
            going = self._take("valid", after)
            last = np.where(going, after, last)
            after = self._wrap(last + self.users)
            reward += np.where(going, factor * self._take("reward", last), 0)
            factor = np.where(going, factor * np.float32(discount), factor)
        return reward, factor * ~self._take("terminated", last), after


def _lengthened(array: np.ndarray, rows: int) -> np.ndarray:
    """Return the array with so many rows: zeros, which take no memory before they are written to, are appended."""
    if len(array) == rows:
        return array
    longer = np.zeros((rows, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer


class CandidateRing(Ring):
    """Also returns all candidates, for learners that value more than the slate shown."""

    def gather(self, at: np.ndarray, discount: float) -> dict[str, np.ndarray]:
        """Add `doc` [n, C, F] or [n, C] and `slate` [n, k]."""
        more = {"doc": self._take("doc", at), "slate": self._take("slate", at).astype(np.int64)}
        return {**super().gather(at, discount), **more}


class ReplayBuffer:
    """One ring per runner."""

    def __init__(
        self,
        capacity: int,
        streams: int,
        seed: int,
        *,
        n_step: int = 1,
        discount: float = 1.0,
        ring: type[Ring] = Ring,
    ) -> None:
        """Make an empty buffer.

        Args:
            capacity: transitions kept in all.
            streams: number of runners that feed it.
            seed: of the sampling.
            n_step: steps whose rewards a sampled transition sums.
            discount: of one step.
            ring: class of a runner's ring, which determines the columns of a sample.
        """
        self.n_step, self.discount, self.ring = n_step, discount, ring
        self.capacity = capacity
        self.streams = streams
        self.rng = np.random.Generator(np.random.SFC64(seed))
        self.rings: dict[int, Ring] = {}

    def add(self, chunk: Chunk) -> None:
        """Append a runner's chunk to its ring."""
        if chunk.stream not in self.rings:
            # All users may begin an episode in one lock-step, before and after one made unusable by a gap: with fewer
            # rows there might be no transition at all to draw.
            rows = max(self.capacity // (self.streams * chunk.valid.shape[1]), self.n_step + 8)
            self.rings[chunk.stream] = self.ring.empty(rows, chunk, self.n_step)
        self.rings[chunk.stream].add(chunk)

    def refresh(self, filter_: BeliefFilter) -> None:
        """Compute the beliefs at every row anew: the filter that made them goes on learning."""
        for ring in self.rings.values():
            ring.refresh(filter_)

    def __len__(self) -> int:
        """Return the number of usable rows times users."""
        return sum(ring.usable_rows * ring.users for ring in self.rings.values())

    def nbytes(self) -> int:
        """Return the memory of the arrays, in bytes."""
        return sum(array.nbytes for ring in self.rings.values() for array in ring.arrays.values())

    def sample(self, n: int, progress: float = 1.0) -> dict[str, np.ndarray]:
        """Draw n transitions uniformly, with replacement.

        Args:
            n: number of transitions.
            progress: fraction of the training done, 0..1; unused here.

        Returns:
            `user` [n, U], `slate_doc` [n, k, F] or [n, k], `clicked` [n] (position; k for none), `reward` [n] (of
            n_step steps, discounted), `bootstrap` [n] (the discount of what follows them, 0 after a terminal step),
            and what follows: `next_user` [n, U], `next_doc` [n, C, F] or [n, C], `next_slate` [n, k] (shown there).
            With memory also `memory` and `next_memory` [n, M]; with a varying number of candidates `mask` and
            `next_mask` [n, C], and `shown` [n, k], the positions that hold a document.
        """
        rings = list(self.rings.values())
        if len(rings) == 1:
            return rings[0].gather(rings[0].draw(self.rng, n), self.discount)
        sizes = np.array([ring.usable_rows * ring.users for ring in rings], float)
        counts = self.rng.multinomial(n, sizes / sizes.sum())
        drawn = [(ring, ring.draw(self.rng, m)) for ring, m in zip(rings, counts, strict=True) if m]
        parts = [ring.gather(at, self.discount) for ring, at in drawn]
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        order = self.rng.permutation(n)  # minibatches are cut in sequence: mix the rings
        return {name: column[order] for name, column in columns.items()}

    def get_state(self) -> dict[str, Any]:
        """Return everything, for a continuation that draws the same samples."""
        return {
            "rng": self.rng.bit_generator.state,
            "rings": {key: ring.get_state() for key, ring in self.rings.items()},
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore what `get_state` returned."""
        self.rng.bit_generator.state = state["rng"]
        self.rings = {key: self.ring(**saved) for key, saved in state["rings"].items()}
