"""RLlib's PPO with our runners, module and batches."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.ppo import PPO
from ray.rllib.algorithms.ppo import PPOConfig as RLlibPPOConfig
from ray.rllib.utils.annotations import override

from recsys_cli.algos.policy_gradient.algorithm import PolicyGradientAlgorithmConfig
from recsys_cli.algos.policy_gradient.connector import AdvantageConnector
from recsys_cli.algos.rllib_algorithm import SlateAlgorithm

if TYPE_CHECKING:
    from recsys_cli.algos.ppo.config import PPOConfig
    from recsys_cli.config.schema import TrainConfig


class SlatePPOConfig(PolicyGradientAlgorithmConfig, RLlibPPOConfig):
    """RLlib's config of PPO, with our settings and the problem beside it."""

    def __init__(self, algo_class: type | None = None) -> None:
        """Set the algorithm."""
        super().__init__(algo_class=algo_class or SlatePPO)


def ppo_config(settings: PPOConfig, run: TrainConfig, seed: int) -> SlatePPOConfig:
    """Turn a run's config into RLlib's."""
    config = SlatePPOConfig()
    connector = partial(AdvantageConnector, discount=settings.discount_on(run.env), gae_lambda=settings.gae_lambda)
    config.of_policy_gradient(settings, run, seed, connector)
    config.training(
        num_epochs=settings.epochs,
        minibatch_size=min(settings.minibatch_size, config.train_batch_size_per_learner),
        clip_param=settings.clip_param,
        use_kl_loss=settings.kl_coeff > 0,
        kl_coeff=settings.kl_coeff,
        kl_target=settings.kl_target,
        vf_clip_param=math.inf,
    )
    return config


class SlatePPO(SlateAlgorithm, PPO):
    """RLlib's PPO; only its failed runners come back with new streams."""

    @classmethod
    @override(Algorithm)
    def get_default_config(cls) -> SlatePPOConfig:
        """Return an unset config."""
        return SlatePPOConfig()
