"""RLlib's PPO with our runners, module and batches; the base of REINFORCE."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ray.rllib.algorithms.ppo import PPO
from ray.rllib.algorithms.ppo import PPOConfig as RLlibPPOConfig
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.utils.annotations import override

from recsys_cli.algos.policy_gradient.algorithm import PolicyGradientAlgorithmConfig
from recsys_cli.algos.policy_gradient.connector import AdvantageConnector
from recsys_cli.algos.policy_gradient.learner import SlateLearner
from recsys_cli.algos.policy_gradient.module import SlateActorCriticModule
from recsys_cli.algos.rllib_algorithm import SlateAlgorithm

if TYPE_CHECKING:
    from recsys_cli.config.schema import TrainConfig


class RoundsAlgorithmConfig(PolicyGradientAlgorithmConfig, RLlibPPOConfig):
    """RLlib's config of PPO, with our settings and the problem beside it; says nothing of the loss."""

    @override(PolicyGradientAlgorithmConfig)
    def connector(self) -> Callable[[], AdvantageConnector]:
        """Return what builds the maker of batches with generalised advantages."""
        return partial(AdvantageConnector, discount=self.gamma, gae_lambda=self.settings.gae_lambda)

    @override(PolicyGradientAlgorithmConfig)
    def of_run(self, settings: Any, run: TrainConfig, seed: int) -> None:
        """Also set epochs and minibatches."""
        super().of_run(settings, run, seed)
        minibatch_size = min(settings.minibatch_size, self.train_batch_size_per_learner)
        self.training(num_epochs=settings.epochs, minibatch_size=minibatch_size)


class SlatePPOConfig(RoundsAlgorithmConfig):
    """Adds the loss."""

    @override(RoundsAlgorithmConfig)
    def of_run(self, settings: Any, run: TrainConfig, seed: int) -> None:
        """Also set the loss."""
        super().of_run(settings, run, seed)
        self.training(
            clip_param=settings.clip_param,
            use_kl_loss=settings.kl_coeff > 0,
            kl_coeff=settings.kl_coeff,
            kl_target=settings.kl_target,
            vf_clip_param=math.inf,
        )


class SlatePPOLearner(SlateLearner, PPOTorchLearner):
    """The loss is RLlib's."""


class SlatePPO(SlateAlgorithm, PPO):
    """RLlib's PPO; only its failed runners come back with new streams."""

    config_class = SlatePPOConfig
    module_class = SlateActorCriticModule
    learner_class = SlatePPOLearner
