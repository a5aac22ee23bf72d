"""A remote runner's error as data.

RLlib restarts a remote runner that raises, and trains on with what the others played, without a word. That is right for
lost processes, but not for an error of the simulator, which comes again.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from typing import Any


class Failure:
    """Takes the place of the chunk that a runner was playing; made while its error is handled."""

    def __init__(self) -> None:
        """Keep the error as text: its class may not be importable in the driver."""
        self.traceback = traceback.format_exc()

    def __len__(self) -> int:
        """Return 1: RLlib distributes chunks to learners by their length."""
        return 1

    def env_steps(self) -> int:
        """Return 1: RLlib samples until it has some."""
        return 1

    def agent_steps(self) -> int:
        """Return 1."""
        return 1


def played(chunks: Iterable[Any]) -> list[Any]:
    """Return what runners sent.

    Raises:
        RuntimeError: one of them failed; the last line is its error.
    """
    chunks = list(chunks)
    for chunk in chunks:
        if isinstance(chunk, Failure):
            raise RuntimeError(f"an env runner failed\n{chunk.traceback}")
    return chunks
