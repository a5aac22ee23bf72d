"""Our replay buffer for RLlib's DQN loop, with samples in place of episodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recsys_cli.rollouts.chunk import Chunk
from recsys_cli.rollouts.failure import played
from recsys_cli.rollouts.replay import ReplayBuffer


class Sample:
    """Transitions drawn from replay, which RLlib carries in place of episodes.

    Attributes:
        columns: by the names of `ReplayBuffer.sample`, `[n, ..]` each.
    """

    def __init__(self, columns: dict[str, np.ndarray]) -> None:
        """Take the columns."""
        self.columns = columns

    def __len__(self) -> int:
        """Return the number of transitions, by which RLlib distributes samples to learners."""
        return len(self.columns["reward"])


class SampledReplay:
    """Our replay buffer behind the calls of RLlib's own."""

    def __init__(self, buffer: ReplayBuffer, parts: int) -> None:
        """Take the buffer.

        Args:
            buffer: holds the transitions.
            parts: samples that a draw is cut into, one per learner.
        """
        self.buffer, self.parts = buffer, parts

    def add(self, episodes: Sequence[Chunk]) -> None:
        """Append the runners' chunks.

        Raises:
            RuntimeError: a remote runner failed.
        """
        for chunk in played(episodes):
            self.buffer.add(chunk)

    def sample(self, num_items: int, **kwargs: Any) -> list[Sample]:
        """Draw `num_items` transitions; RLlib's other arguments are for episodes."""
        columns = self.buffer.sample(num_items)
        cut = {name: np.array_split(column, self.parts) for name, column in columns.items()}
        return [Sample({name: pieces[part] for name, pieces in cut.items()}) for part in range(self.parts)]

    def get_metrics(self) -> dict[str, Any]:
        """Return none."""
        return {}
