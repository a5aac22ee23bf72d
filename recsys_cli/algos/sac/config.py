"""SAC's settings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from recsys_cli.algos.dqn.config import EnumeratedReplayConfig
from recsys_cli.algos.enumerated import slates_of
from recsys_cli.config.ranges import Fraction, Positive
from recsys_cli.envs.base import EnvConfig

if TYPE_CHECKING:
    from recsys_cli.algos.full_slate_q.network import FullSlateQNetwork
    from recsys_cli.algos.sac.algorithm import SlateSACConfig
    from recsys_cli.config.schema import TrainConfig
    from recsys_cli.policies.slate_softmax import SlateSoftmaxPolicy


@dataclass
class SACConfig(EnumeratedReplayConfig):
    """SAC. Keys are explained, and defaults given, in `conf/algo/sac.yaml`."""

    reward_unit: Positive
    temperature: Positive
    temperature_lr: Positive
    target_entropy: Fraction

    several_learners: ClassVar[bool] = False  # RLlib averages the networks' gradients, but not the temperature's

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
            target_entropy=self.target_entropy * math.log(slates_of(run.env)),
        )
        return config

    def policy_of(self, network: FullSlateQNetwork, seed: int = 0) -> SlateSoftmaxPolicy:
        """Return the policy that acts with `network`, whose exploration draws from a stream of that seed."""
        from recsys_cli.policies.slate_softmax import SlateSoftmaxPolicy

        return SlateSoftmaxPolicy(network, np.random.Generator(np.random.SFC64(seed)))

    def make_policy(self, env: EnvConfig, seed: int = 0) -> SlateSoftmaxPolicy:
        """Build the policy, untrained."""
        from recsys_cli.algos.full_slate_q.network import FullSlateQNetwork
        from recsys_cli.policies.network import seeded

        return self.policy_of(seeded(seed, lambda: FullSlateQNetwork(self, env)), seed)
