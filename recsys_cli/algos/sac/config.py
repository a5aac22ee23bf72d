"""SAC's settings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from recsys_cli.algos.dqn.config import EnumeratedReplayConfig
from recsys_cli.algos.enumerated import slates_of

if TYPE_CHECKING:
    from recsys_cli.algos.full_slate_q.network import FullSlateQNetwork
    from recsys_cli.algos.sac.algorithm import SlateSACConfig
    from recsys_cli.config.schema import TrainConfig
    from recsys_cli.policies.enumerated import SlateSoftmaxPolicy


@dataclass
class SACConfig(EnumeratedReplayConfig):
    """SAC. Keys are explained, and defaults given, in `conf/algo/sac.yaml`."""

    reward_unit: float
    temperature: float
    temperature_lr: float
    target_entropy: float

    several_learners: ClassVar[bool] = False  # RLlib averages the networks' gradients, but not the temperature's

    def __post_init__(self) -> None:
        """Check ranges."""
        super().__post_init__()
        self.above_zero("reward_unit", "temperature", "temperature_lr")
        self.in_range("target_entropy")

    def module_class(self) -> type:
        """Return the RLlib module."""
        from recsys_cli.algos.sac.module import SlateSACModule

        return SlateSACModule

    def learner_class(self) -> type:
        """Return the RLlib learner."""
        from recsys_cli.algos.sac.learner import SlateSACLearner

        return SlateSACLearner

    def algorithm_config(self, run: TrainConfig, seed: int) -> SlateSACConfig:
        """Return RLlib's config."""
        from recsys_cli.algos.sac.algorithm import SlateSACConfig

        config = SlateSACConfig()
        config.of_replay(
            self,
            run,
            seed,
            lr=None,  # RLlib wants it so; the learner takes the schedule from these settings
            alpha_lr=self.temperature_lr,
            initial_alpha=self.temperature,
            target_entropy=self.target_entropy * math.log(slates_of(run.env.spec)),
        )
        return config

    def policy_of(self, network: FullSlateQNetwork) -> SlateSoftmaxPolicy:
        """Return the policy that acts with `network`."""
        from recsys_cli.policies.enumerated import SlateSoftmaxPolicy

        return SlateSoftmaxPolicy(network)
