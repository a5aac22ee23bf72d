"""Transitions kept of what was played, with the sessions they belong to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.algos.lspi.iteration import Columns
from recsys_cli.rollouts.chunk import Chunk
from recsys_cli.rollouts.replay import CandidateRing, Ring

Ints = NDArray[np.int64]


class Played:
    """The newest transitions of all users: a ring for each stream, of which the last one grows.

    Attributes:
        rings: by stream, oldest first.
    """

    def __init__(self, capacity: int) -> None:
        """Begin with none.

        Args:
            capacity: transitions used; up to twice as many are kept.
        """
        self.capacity = capacity
        self.rings: dict[int, Ring] = {}

    def add(self, chunk: Chunk) -> None:
        """Append a chunk, to a new ring if its stream is new; streams that are no longer needed are forgotten."""
        if chunk.stream not in self.rings:
            self.rings[chunk.stream] = CandidateRing.empty(self._rows(chunk.valid), chunk)
        self.rings[chunk.stream].add(chunk)
        while len(self) - _size(self.rings[min(self.rings)]) >= self.capacity:
            del self.rings[min(self.rings)]

    def _rows(self, valid: NDArray[np.bool_]) -> int:
        """Return the rows of a ring for the users of `valid` `[T, N]`; the newest has no next one yet."""
        return -(-self.capacity // valid.shape[1]) + 1

    def __len__(self) -> int:
        """Return the number of transitions kept; some only begin sessions."""
        return sum(map(_size, self.rings.values()))

    def transitions(self, discount: float) -> Iterator[Columns]:
        """Yield the newest transitions, about `capacity`, a stream at a time; see `Steps.transitions`.

        Args:
            discount: of a step.
        """
        later = np.cumsum([0, *(_size(ring) for ring in reversed(self.rings.values()))])[-2::-1]
        for (stream, ring), newer in zip(self.rings.items(), later.tolist(), strict=True):
            at = ring.usable()
            at = at[max(len(at) - (self.capacity - newer), 0) :]
            columns, (session, step) = ring.gather(at, discount), _sessions(ring)
            ended = columns["bootstrap"] == 0
            yield {**columns, "terminated": ended, "episode": session[at] + (stream << 40), "step": step[at]}

    def get_state(self) -> dict[str, Any]:
        """Return all rings, of each what is filled only."""
        return {str(stream): _trimmed(ring.get_state()) for stream, ring in self.rings.items()}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `get_state` returned."""
        self.rings = {}
        for stream, saved in state.items():
            rows = self._rows(saved["arrays"]["valid"])
            arrays = {name: _grown(array, rows) for name, array in saved["arrays"].items()}
            self.rings[int(stream)] = CandidateRing(arrays, **{key: saved[key] for key in saved if key != "arrays"})


def _size(ring: Ring) -> int:
    return ring.usable_rows * ring.users


def _trimmed(state: dict[str, Any]) -> dict[str, Any]:
    """Return a ring's state without rows never written; they come first or last."""
    rows = state["filled"]
    return {**state, "arrays": {name: array[:rows] for name, array in state["arrays"].items()}}


def _grown(array: NDArray[Any], rows: int) -> NDArray[Any]:
    return np.concatenate([array, np.zeros((rows - len(array), *array.shape[1:]), array.dtype)])


def _sessions(ring: Ring) -> tuple[Ints, Ints]:
    """Return number and step of the session of every place of a ring, `[rows * users]` each.

    A step that is not valid only began a session. Of sessions that began before the ring's oldest row the steps are
    not known: they are counted from 1.
    """
    order = (ring.head - ring.filled + np.arange(ring.filled)) % ring.rows
    begins = ~ring.arrays["valid"][order]
    rows = np.arange(ring.filled)[:, None]
    last = np.maximum.accumulate(np.where(begins, rows, -1 if ring.filled < ring.rows else -2), axis=0)
    number = np.cumsum(begins, axis=0) * ring.users + np.arange(ring.users)
    found = np.zeros((2, ring.rows, ring.users), np.int64)
    found[0, order], found[1, order] = number, rows - last - 1
    return found[0].reshape(-1), found[1].reshape(-1)
