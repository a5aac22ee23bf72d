"""What bandit policies share: they learn in closed form, explore by themselves, and come back from their tensors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_cli.policies.history import History, HistoryKind, new_history
from recsys_cli.policies.parts import PolicyOfParts

if TYPE_CHECKING:
    from recsys_cli.envs.base import EnvConfig


class BanditPolicy(PolicyOfParts):
    """Learns from transitions, each of them once; `act` explores where it is asked to, and is greedy otherwise."""

    def __init__(self, env: EnvConfig, history: HistoryKind, seed: int) -> None:
        """Make an untrained policy.

        Args:
            env: the problem; the number of candidates is free.
            history: what it remembers of a session.
            seed: of the stream it explores with, until `draw_from` gives it another.
        """
        self.problem, self.history = env, history
        self.slate_size, self.attended = env.slate_size, env.attended
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

    def new_history(self, users: int) -> History:
        """Return the history of the constructor."""
        return new_history(self.history, self.problem, users)
