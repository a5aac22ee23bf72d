"""Chunks with the observation that follows, for learners that keep no earlier chunks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from recsys_cli.rollouts.chunk import Chunk
from recsys_cli.rollouts.collector import OBSERVED, Collector
from recsys_cli.rollouts.runner import VectorEnvRunner


@dataclass(kw_only=True)
class FollowedChunk(Chunk):
    """A `Chunk` whose last step also has a next observation.

    A row that is not valid holds the true last observation of the previous episode.

    Attributes:
        last_user: user observations after the last step, `[N, U]`.
        last_doc: candidates after the last step, `[N, C, F]` or `[N, C]`.
        last_memory: memory after the last step, `[N, M]`; None without memory.
        last_mask: candidates that are there after the last step, `[N, C]`; None if all are.
    """

    last_user: np.ndarray
    last_doc: np.ndarray
    last_memory: np.ndarray | None = None
    last_mask: np.ndarray | None = None

    def transitions(self) -> dict[str, np.ndarray]:
        """Return the valid transitions, flat, with `terminated` [n] and the next state: `next_user` [n, U], ...."""
        step, user = np.nonzero(self.valid)
        arrays = dict(self.arrays())
        following = {
            f"next_{name}": np.concatenate([arrays[name][1:], arrays[f"last_{name}"][None]])[step, user]
            for name in OBSERVED
            if name in arrays
        }
        return {**super().transitions(), **following, "terminated": self.terminated[step, user]}


def with_what_follows(chunk: Chunk, collector: Collector) -> dict[str, Any]:
    """Return the fields of a `FollowedChunk`: those of the chunk just collected, and the observation after it."""
    last = collector.newest()
    return {**vars(chunk), **{f"last_{name}": last[name].copy() for name in OBSERVED if name in last}}


class FollowedRunner(VectorEnvRunner):
    """Adds the observation after the last step."""

    def _collect(self, length: int, explore: bool, random_actions: bool) -> list[Chunk]:
        """Play `length` lock-steps."""
        (chunk,) = super()._collect(length, explore, random_actions)
        return [FollowedChunk(**with_what_follows(chunk, self.collector))]
