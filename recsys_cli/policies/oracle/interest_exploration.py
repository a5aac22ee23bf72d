"""Interest exploration with the affinities known: the slate most likely to be clicked; nothing changes the user."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys_cli.envs.interest_exploration import InterestExplorationConfig
from recsys_cli.networks.choice import KnownChoice
from recsys_cli.networks.features import Observed
from recsys_cli.policies.base import Floats, Observation, mask_of
from recsys_cli.policies.myopic import log_weights
from recsys_cli.policies.oracle._base import OraclePolicy
from recsys_cli.slates.optimal import optimal_slates


class InterestExplorationOracle(OraclePolicy):
    """Ranks by true affinity plus quality, and shows the best k."""

    def solve(self, env: InterestExplorationConfig) -> None:
        """Take the problem's choice model."""
        self.choice = KnownChoice(env.spec.choice)

    def slates(self, observation: Observation) -> NDArray[Any]:
        """See `GreedyPolicy.slates`."""
        v, v_null = self._choice(observation)
        parts = (v, torch.ones_like(v), v_null, torch.zeros_like(v_null))
        return optimal_slates(*parts, self.slate_size, mask_of(observation))[0].numpy()

    def scores(self, observation: Observation) -> Floats:
        """Return the logarithms of choice scores."""
        return log_weights(self._choice(observation)[0])

    def _choice(self, observation: Observation) -> tuple[Tensor, Tensor]:
        doc = torch.as_tensor(observation["doc"], dtype=torch.float64)
        affinity = torch.as_tensor(self.hidden(len(doc))["affinity"], dtype=torch.float64)
        # A document is its topic, one-hot, and its quality: with weight 1 for the quality the product is the score.
        weight = torch.cat([affinity, torch.ones_like(affinity[:, :1])], dim=-1)
        return self.choice(Observed(weight, doc))


def make_oracle(seed: int) -> InterestExplorationOracle:
    """Build the oracle."""
    return InterestExplorationOracle(seed)
