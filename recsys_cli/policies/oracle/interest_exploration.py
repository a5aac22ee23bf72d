"""Interest exploration with the affinities known: the slate most likely to be clicked; nothing changes the user."""

from __future__ import annotations

import numpy as np
import torch

from recsys_cli.envs.interest_exploration import InterestExplorationConfig
from recsys_cli.networks.choice import KnownChoice
from recsys_cli.networks.features import Observed
from recsys_cli.policies.base import Observation
from recsys_cli.policies.oracle._base import OraclePolicy
from recsys_cli.slates.optimal import optimal_slates


class InterestExplorationOracle(OraclePolicy):
    """Ranks by true affinity plus quality, and shows the best k."""

    def solve(self, env: InterestExplorationConfig) -> None:
        """Take the problem's choice model."""
        self.slate_size = env.slate_size
        self.choice = KnownChoice(env.spec.choice)

    def act(self, observation: Observation, *, explore: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Choose slates; see `SlatePolicy.act`."""
        doc = torch.as_tensor(observation["doc"], dtype=torch.float64)
        affinity = torch.as_tensor(self.hidden(len(doc))["affinity"], dtype=torch.float64)
        # A document is its topic, one-hot, and its quality: with weight 1 for the quality the product is the score.
        weight = torch.cat([affinity, torch.ones_like(affinity[:, :1])], dim=-1)
        v, v_null = self.choice(Observed(weight, doc))
        slates, _ = optimal_slates(v, torch.ones_like(v), v_null, torch.zeros_like(v_null), self.slate_size)
        return slates.numpy(), np.zeros(len(slates))


def make_oracle(seed: int) -> InterestExplorationOracle:
    """Build the oracle."""
    return InterestExplorationOracle(seed)
