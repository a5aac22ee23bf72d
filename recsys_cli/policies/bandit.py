"""What bandit policies share: they learn in closed form, explore by themselves, and come back from their tensors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_cli.policies.memory import Memory, MemoryKind, new_memory
from recsys_cli.policies.parts import PolicyOfParts

if TYPE_CHECKING:
    from recsys_cli.envs.spec import ProblemSpec


class BanditPolicy(PolicyOfParts):
    """Learns from transitions, each of them once; `act` explores where it is asked to, and is greedy otherwise."""

    def __init__(self, spec: ProblemSpec, memory: MemoryKind, seed: int) -> None:
        """Make an untrained policy.

        Args:
            spec: the problem; the number of candidates is free.
            memory: what it remembers of a session.
            seed: of the stream it explores with, until `draw_from` gives it another.
        """
        self.problem, self.memory = spec, memory
        self.slate_size, self.attended = spec.slate_size, spec.attended
        self.rng = np.random.Generator(np.random.SFC64(seed))

    @abstractmethod
    def learn(self, transitions: Mapping[str, np.ndarray]) -> float:
        """Update the belief.

        Args:
            transitions: as `Chunk.transitions` gives them, in the order in which they were played.

        Returns:
            The mean squared error of what was believed of them before.
        """

    def draw_from(self, rng: np.random.Generator) -> None:
        """See `SlatePolicy.draw_from`."""
        self.rng = rng

    def get_state(self) -> dict[str, Any]:
        """Return what going on with learning takes beside the tensors."""
        return {}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Take back what `get_state` returned."""

    def new_memory(self, users: int) -> Memory:
        """Return the memory of the constructor."""
        return new_memory(self.memory, self.problem, users)
