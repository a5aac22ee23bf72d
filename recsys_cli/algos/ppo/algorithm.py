"""RLlib's PPO with our runners, module and batches."""

from __future__ import annotations

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
    from recsys_cli.algos.policy_gradient.rounds import RoundsConfig
    from recsys_cli.config.schema import TrainConfig


class SlatePPOConfig(PolicyGradientAlgorithmConfig, RLlibPPOConfig):
    """RLlib's config of PPO, with our settings and the problem beside it."""

    def __init__(self, algo_class: type | None = None) -> None:
        """Set the algorithm."""
        super().__init__(algo_class=algo_class or SlatePPO)


def ppo_config(settings: RoundsConfig, run: TrainConfig, seed: int) -> SlatePPOConfig:
    """Turn a run's config into RLlib's; the settings name the learner, and so the loss."""
    config = SlatePPOConfig()
    connector = partial(AdvantageConnector, discount=settings.discount_on(run.env.spec), gae_lambda=settings.gae_lambda)
    config.of_policy_gradient(settings, run, seed, connector)
    minibatch_size = min(settings.minibatch_size, config.train_batch_size_per_learner)
    config.training(num_epochs=settings.epochs, minibatch_size=minibatch_size, **settings.loss_settings())
    return config


class SlatePPO(SlateAlgorithm, PPO):
    """RLlib's PPO; only its failed runners come back with new streams."""

    @classmethod
    @override(Algorithm)
    def get_default_config(cls) -> SlatePPOConfig:
        """Return an unset config."""
        return SlatePPOConfig()
