"""RLlib's SAC with our runners, replay and module."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ray.rllib.algorithms.sac import SAC, SACConfig
from ray.rllib.utils.annotations import override

from recsys_cli.algos.dqn.algorithm import SampledAlgorithm, SampledConfig
from recsys_cli.algos.enumerated import slates_of
from recsys_cli.algos.sac.learner import SlateSACLearner
from recsys_cli.algos.sac.module import SlateSACModule
from recsys_cli.rollouts.replay import CandidateRing

if TYPE_CHECKING:
    from recsys_cli.config.schema import TrainConfig


class SlateSACConfig(SampledConfig, SACConfig):
    """RLlib's config of SAC, with our settings and the problem; slates are drawn by the policy alone."""

    ring = CandidateRing

    @override(SampledConfig)
    def of_run(self, settings: Any, run: TrainConfig, seed: int) -> None:
        """Also set the temperature."""
        super().of_run(settings, run, seed)
        self.training(
            lr=None,  # RLlib wants it so; the learner takes the schedule from these settings
            alpha_lr=settings.temperature_lr,
            initial_alpha=settings.temperature,
            target_entropy=settings.target_entropy * math.log(slates_of(run.env.spec)),
        )


class SlateSAC(SampledAlgorithm, SAC):
    """RLlib's SAC."""

    config_class = SlateSACConfig
    module_class = SlateSACModule
    learner_class = SlateSACLearner
