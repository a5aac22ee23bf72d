"""Greedy pCTR: ranking by the predicted probability of a click."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recsys_cli.policies.base import Observation
from recsys_cli.policies.myopic import MyopicPolicy

if TYPE_CHECKING:
    from recsys_cli.envs.spec import ProblemSpec


class GreedyPCTRPolicy(MyopicPolicy):
    """Shows the k documents of greatest choice score, falling (RecSim's `GreedyPCTRAgent`).

    What a click brings is not asked. The choice model is the myopic policy's: known, or a conditional logit of clicks.
    """

    def __init__(self, spec: ProblemSpec, ridge: float) -> None:
        """Make an untrained policy; arguments as for `MyopicPolicy`."""
        super().__init__(spec, ridge)
        self.reward = None

    def act(self, observation: Observation, *, explore: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Choose slates; see `SlatePolicy.act`."""
        v, _, _ = self._scores(observation)
        return v.topk(self.slate_size, dim=-1).indices.numpy(), np.zeros(len(v))
