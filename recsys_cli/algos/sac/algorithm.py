"""RLlib's SAC with our runners, replay and module."""

from __future__ import annotations

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.sac import SAC, SACConfig
from ray.rllib.utils.annotations import override

from recsys_cli.algos.dqn.algorithm import SampledAlgorithm, SampledConfig
from recsys_cli.rollouts.replay import CandidateRing


class SlateSACConfig(SampledConfig, SACConfig):
    """RLlib's config of SAC, with our settings and the problem beside it; slates are drawn by the policy alone."""

    ring = CandidateRing

    def __init__(self, algo_class: type | None = None) -> None:
        """Set the algorithm."""
        super().__init__(algo_class=algo_class or SlateSAC)


class SlateSAC(SampledAlgorithm, SAC):
    """RLlib's SAC."""

    @classmethod
    @override(Algorithm)
    def get_default_config(cls) -> SlateSACConfig:
        """Return an unset config."""
        return SlateSACConfig()
