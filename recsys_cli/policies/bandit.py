"""Shared by bandit policies: they learn in closed form and are restored from their tensors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_cli.config.explore import NOT_EXPLORING, Explore
from recsys_cli.policies.base import Draw, Observation, certain, drawn
from recsys_cli.policies.exploration import Rule, explored
from recsys_cli.policies.memory import Memory, MemoryKind, new_memory
from recsys_cli.policies.parts import PolicyOfParts
from recsys_cli.slates.distributions import SlateDistribution

if TYPE_CHECKING:
    from recsys_cli.envs.spec import ProblemSpec


NOT_DRAWN_FROM = np.random.Generator(np.random.SFC64(0))  # what indices get that draw nothing


class BanditPolicy(PolicyOfParts):
    """Learns from transitions, each of them once; how it explores is its `behaviour`."""

    def __init__(self, spec: ProblemSpec, memory: MemoryKind) -> None:
        """Make an untrained policy.

        Args:
            spec: the problem; the number of candidates is free.
            memory: its session memory.
        """
        self.problem, self.memory = spec, memory
        self.slate_size, self.attended = spec.slate_size, spec.attended

    @abstractmethod
    def learn(self, transitions: Mapping[str, np.ndarray]) -> float:
        """Update the belief.

        Args:
            transitions: from `Chunk.transitions`, in the order played.

        Returns:
            The mean squared error of the prior predictions.
        """

    def chosen(self, draws: bool, choose: Draw, observation: Observation) -> SlateDistribution:
        """Return the slates that `choose` finds: certain, or known by draws if it draws."""
        if draws:
            return drawn(choose, self.slate_size, observation)
        return certain(choose(observation, NOT_DRAWN_FROM), observation)

    def mixed(self, epsilon: float, rule: Rule, observation: Observation) -> SlateDistribution:
        """Return what `rule` answers, with random slates among it at a probability."""
        return explored(Explore("epsilon", epsilon) if epsilon else NOT_EXPLORING, self, rule)(observation)

    def get_state(self) -> dict[str, Any]:
        """Return what further learning needs besides the tensors."""
        return {}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `get_state` returned."""

    def new_memory(self, users: int) -> Memory:
        """Return the memory of the constructor."""
        return new_memory(self.memory, self.problem, users)
