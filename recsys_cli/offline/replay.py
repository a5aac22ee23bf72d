"""Transitions drawn from logged steps, for learners that take them from a replay buffer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from recsys_cli.config.errors import ConfigError
from recsys_cli.offline.steps import Array, Ints, Steps, concatenate
from recsys_cli.policies.memory import Memory


class LoggedReplay:
    """Draws transitions uniformly, with replacement, from the episodes of a log.

    A log of more than `capacity` rows is read again and again, part by part: as many rows are drawn from a part as it
    has steps, then comes the next one. Only what transitions need is kept.
    """

    def __init__(
        self,
        batches: Callable[[], Iterator[Steps]],
        new_memory: Callable[[int], Memory],
        *,
        capacity: int,
        discount: float,
        n_step: int,
        seed: int,
        next_slates: bool = False,
    ) -> None:
        """Read the first part.

        Args:
            batches: yields rows of the log in order, whole episodes at a time.
            new_memory: of the policy that learns.
            capacity: rows held in memory, about.
            discount: of one step.
            n_step: steps whose rewards a transition sums.
            seed: of the draws.
            next_slates: whether to leave out steps whose next slate the log does not have.

        Raises:
            ConfigError: the log has no step to learn from.
        """
        self.batches, self.new_memory, self.capacity = batches, new_memory, capacity
        self.discount, self.n_step, self.next_slates = discount, n_step, next_slates
        self.rng = np.random.Generator(np.random.SFC64(seed))
        self._begin()

    def _begin(self, part: int = 0) -> None:
        """Read from the start of the log, and go to a part."""
        self.parts = self._parts()
        first = next(islice(self.parts, part, None), None)
        if first is None:
            raise ConfigError("the log has no step to learn from: none ends an episode or is followed by another")
        self.part = part
        self._take(first)

    def _parts(self) -> Iterator[Steps]:
        """Yield parts of about `capacity` rows with a step to learn from."""
        kept: list[Steps] = []
        for batch in self.batches():
            if len(batch.learnable(batch.following(shown=self.next_slates))):
                kept.append(dataclasses.replace(batch, time=None, log_propensity=None))
            if kept and sum(map(len, kept)) >= self.capacity:
                yield concatenate(kept)
                kept = []
        if kept:
            yield concatenate(kept)

    def _take(self, steps: Steps) -> None:
        self.steps = dataclasses.replace(steps.remembering(self.new_memory), response={})
        self.after: Ints = self.steps.following(shown=self.next_slates)
        self.rows: Ints = self.steps.learnable(self.after)
        self.left = len(self.rows)  # to be drawn before the next part

    def _next(self) -> None:
        following = next(self.parts, None)
        if following is not None:
            self.part += 1
            self._take(following)
        elif self.part:
            self._begin()
        else:  # the whole log
            self.left = len(self.rows)

    def sample(self, n: int) -> dict[str, Array]:
        """Draw n transitions by the names of `ReplayBuffer.sample`, with `doc` [n, C, F] or [n, C] and `slate` [n, k].

        All come from one part.
        """
        if self.left <= 0:
            self._next()
        self.left -= n
        rows = self.rows[self.rng.integers(0, len(self.rows), n)]
        return self.steps.transitions(self.discount, rows=rows, after=self.after, n_step=self.n_step)

    def get_state(self) -> dict[str, Any]:
        """Return everything, for a continuation that draws the same samples of the same log."""
        return {"rng": self.rng.bit_generator.state, "part": self.part, "left": self.left}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore what `get_state` returned."""
        self.rng.bit_generator.state = state["rng"]
        if state["part"] != self.part:
            self._begin(state["part"])
        self.left = state["left"]
