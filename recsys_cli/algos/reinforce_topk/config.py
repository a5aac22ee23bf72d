"""REINFORCE's settings."""

from __future__ import annotations

from dataclasses import dataclass

from recsys_cli.algos.policy_gradient.rounds import RoundsConfig


@dataclass
class ReinforceTopKConfig(RoundsConfig):
    """Top-K REINFORCE. Keys are explained, and defaults given, in `conf/algo/reinforce_topk.yaml`."""

    weight_cap: float
    top_k_correction: bool

    def __post_init__(self) -> None:
        """Check ranges."""
        super().__post_init__()
        self.above_zero("weight_cap")

    def learner_class(self) -> type:
        """Return the RLlib learner."""
        from recsys_cli.algos.reinforce_topk.learner import ReinforceTopKLearner

        return ReinforceTopKLearner
