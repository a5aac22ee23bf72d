"""REINFORCE's settings."""

from __future__ import annotations

from dataclasses import dataclass

from recsys_cli.algos.policy_gradient.rounds import RoundsConfig
from recsys_cli.config.ranges import Positive


@dataclass
class ReinforceTopKConfig(RoundsConfig):
    """Top-K REINFORCE. Keys are explained, and defaults given, in `conf/algo/reinforce_topk.yaml`."""

    weight_cap: Positive
    top_k_correction: bool

    def learner_class(self) -> type:
        """Return the RLlib learner."""
        from recsys_cli.algos.reinforce_topk.learner import ReinforceTopKLearner

        return ReinforceTopKLearner
