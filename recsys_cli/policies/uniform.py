"""The random baseline."""

from __future__ import annotations

import numpy as np

from recsys_cli.policies.base import Observation, SlatePolicy
from recsys_cli.slates.uniform import log_propensity_of_uniform, uniform_slates


class UniformPolicy(SlatePolicy):
    """Shows a slate drawn uniformly, whether or not it explores."""

    def __init__(self, slate_size: int, seed: int) -> None:
        """Make a policy with its own random stream."""
        self.slate_size = slate_size
        self.rng = np.random.Generator(np.random.SFC64(seed))

    def act(self, observation: Observation, *, explore: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Draw slates; see `SlatePolicy.act`."""
        n, num_candidates = observation["doc"].shape[:2]
        slates = uniform_slates(self.rng, n, num_candidates, self.slate_size)
        return slates, np.full(n, log_propensity_of_uniform(num_candidates, self.slate_size))
