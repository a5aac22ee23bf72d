"""PPO's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_cli.algos.policy_gradient.config import PolicyGradientConfig

if TYPE_CHECKING:
    from recsys_cli.algos.ppo.algorithm import SlatePPOConfig
    from recsys_cli.config.schema import TrainConfig


@dataclass
class PPOConfig(PolicyGradientConfig):
    """Proximal policy optimisation. Keys are explained, and defaults given, in `conf/algo/ppo.yaml`."""

    gae_lambda: float
    clip_param: float
    epochs: int
    minibatch_size: int
    kl_coeff: float
    kl_target: float

    def __post_init__(self) -> None:
        """Check ranges."""
        super().__post_init__()
        self.in_range("gae_lambda")
        self.above_zero("clip_param", "kl_target")
        self.not_below(0, "kl_coeff")
        self.not_below(1, "epochs", "minibatch_size")

    def learner_class(self) -> type:
        """Return the RLlib learner."""
        from recsys_cli.algos.ppo.learner import SlatePPOLearner

        return SlatePPOLearner

    def algorithm_config(self, run: TrainConfig, seed: int) -> SlatePPOConfig:
        """Return RLlib's config."""
        from recsys_cli.algos.ppo.algorithm import ppo_config

        return ppo_config(self, run, seed)
