"""Shared by the RLlib configs of policy gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.utils.annotations import override

from recsys_cli.algos.policy_gradient.connector import RolloutConnector
from recsys_cli.algos.rllib_algorithm import GradientAlgorithmConfig
from recsys_cli.config.errors import ConfigError
from recsys_cli.rollouts.on_policy import OnPolicyRunner

if TYPE_CHECKING:
    from recsys_cli.config.schema import TrainConfig


class PolicyGradientAlgorithmConfig(GradientAlgorithmConfig):
    """Mixes with the config of one of RLlib's policy gradients: learns from rollouts, one of each runner at a time."""

    def __init__(self, algo_class: type | None = None) -> None:
        """Set the runner."""
        super().__init__(algo_class=algo_class)
        self.env_runner_cls = OnPolicyRunner

    def connector(self) -> Callable[[], RolloutConnector]:
        """Return the builder of the batch connector; learners call it without access to this config."""
        raise NotImplementedError

    @override(GradientAlgorithmConfig)
    def of_run(self, settings: Any, run: TrainConfig, seed: int) -> None:
        """Also set batches and loss.

        Raises:
            ConfigError: the users cannot be divided among the learners.
        """
        users, learners = run.resources.users_per_runner, max(run.resources.learners, 1)
        if users % learners:
            raise ConfigError(
                f"resources.users_per_runner={users} must be a multiple of resources.learners={learners}, "
                f"which share the users with algo={settings.name}"
            )
        super().of_run(settings, run, seed)
        build = self.connector()
        self.learners(learner_connector=lambda *spaces: build(), add_default_connectors_to_learner_pipeline=False)
        rows = users * settings.rollout_length * max(run.resources.env_runners, 1)
        self.training(
            train_batch_size_per_learner=rows // learners,
            entropy_coeff=self.entropy_schedule_of_run(),
            vf_loss_coeff=settings.value_loss_coeff,
            grad_clip=settings.grad_clip,
        )

    def entropy_schedule_of_run(self) -> Any:
        """Return RLlib's schedule of the entropy's coefficient: a number, or points of env steps and coefficients."""
        first = self.settings.entropy_coeff
        last = first * self.settings.entropy_final_fraction
        return first if first == last else [[0, first], [self.training_env_steps, last]]

    @property
    def total_train_batch_size(self) -> int:
        """Return 1: RLlib samples until it has that many steps, and one rollout of every runner must suffice.

        The number of transitions in its rows is not known in advance.
        """
        return 1

    @override(AlgorithmConfig)
    def validate_train_batch_size_vs_rollout_fragment_length(self) -> None:
        """Check nothing: a rollout is a batch."""
