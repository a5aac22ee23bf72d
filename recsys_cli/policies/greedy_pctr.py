"""Greedy pCTR: ranking by the predicted probability of a click."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from recsys_cli.policies.base import Floats, Observation, mask_of
from recsys_cli.policies.myopic import MyopicPolicy, log_weights
from recsys_cli.slates.optimal import only, shown

if TYPE_CHECKING:
    from recsys_cli.envs.spec import ProblemSpec


class GreedyPCTRPolicy(MyopicPolicy):
    """Shows the k documents of greatest choice score, falling (RecSim's `GreedyPCTRAgent`).

    Rewards are ignored. The choice model is the myopic policy's: known, or a conditional logit learned from clicks.
    """

    def __init__(self, spec: ProblemSpec, ridge: float) -> None:
        """Make an untrained policy; arguments as for `MyopicPolicy`."""
        super().__init__(spec, ridge)
        self.reward = None

    def slates(self, observation: Observation) -> NDArray[Any]:
        """See `GreedyPolicy.slates`."""
        (v, *_), mask = self._values(observation), mask_of(observation)
        return shown(only(v, mask).topk(self.slate_size, dim=-1).indices, mask).numpy()

    def scores(self, observation: Observation) -> Floats:
        """Return the logarithms of choice scores."""
        return log_weights(self._values(observation)[0])
