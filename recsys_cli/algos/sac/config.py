"""SAC's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from recsys_cli.algos.enumerated import EnumeratedConfig
from recsys_cli.config.ranges import Fraction, LearningRate, Positive

if TYPE_CHECKING:
    from recsys_cli.algos.full_slate_q.network import FullSlateQNetwork
    from recsys_cli.algos.sac.algorithm import SlateSAC
    from recsys_cli.policies.enumerated import SlateSoftmaxPolicy


@dataclass
class SACConfig(EnumeratedConfig):
    """SAC. Keys and defaults: see `conf/algo/sac.yaml`."""

    reward_unit: Positive
    temperature: Positive
    temperature_lr: LearningRate
    target_entropy: Fraction

    several_learners: ClassVar[bool] = False  # RLlib averages the networks' gradients, but not the temperature's

    def algorithm(self) -> type[SlateSAC]:
        """Return RLlib's algorithm."""
        from recsys_cli.algos.sac.algorithm import SlateSAC

        return SlateSAC

    def policy_of(self, network: FullSlateQNetwork) -> SlateSoftmaxPolicy:
        """Return the policy that acts with `network`."""
        from recsys_cli.policies.enumerated import SlateSoftmaxPolicy

        return SlateSoftmaxPolicy(network)
