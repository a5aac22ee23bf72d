"""The random baseline."""

from __future__ import annotations

from recsys_cli.policies.base import Observation, SlatePolicy
from recsys_cli.slates.distributions import SlateDistribution, Uniform


class UniformPolicy(SlatePolicy):
    """Shows a slate drawn uniformly."""

    served_by_draws = True

    def __init__(self, slate_size: int) -> None:
        """Take the number of documents of a slate."""
        self.slate_size = slate_size

    def distribution(self, observation: Observation) -> SlateDistribution:
        """See `SlatePolicy.distribution`."""
        users, candidates = observation["doc"].shape[:2]
        return Uniform(users, candidates, self.slate_size, observation.get("mask"))
