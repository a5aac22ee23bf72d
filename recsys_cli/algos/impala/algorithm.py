"""RLlib's IMPALA with our runners, module and batches; the base of APPO."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.impala import IMPALA, IMPALAConfig
from ray.rllib.algorithms.impala.torch.impala_torch_learner import IMPALATorchLearner
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.utils.annotations import override

from recsys_cli.algos.policy_gradient.algorithm import PolicyGradientAlgorithmConfig
from recsys_cli.algos.policy_gradient.connector import TrajectoryConnector
from recsys_cli.algos.policy_gradient.learner import SlateLearner
from recsys_cli.algos.policy_gradient.module import SlateActorCriticModule
from recsys_cli.algos.rllib_algorithm import SlateAlgorithm

if TYPE_CHECKING:
    from recsys_cli.config.schema import TrainConfig


class TrajectoryConfig(PolicyGradientAlgorithmConfig):
    """Mixes with the configs of RLlib's algorithms with V-trace, which learn from whole trajectories."""

    @override(PolicyGradientAlgorithmConfig)
    def connector(self) -> Callable[[], TrajectoryConnector]:
        """Return the maker of batches of trajectories."""
        return TrajectoryConnector

    @override(PolicyGradientAlgorithmConfig)
    def of_run(self, settings: Any, run: TrainConfig, seed: int) -> None:
        """Also set V-trace."""
        super().of_run(settings, run, seed)
        self.use_env_runner_state_server = False  # our runners are given weights, they do not fetch them
        self.training(vtrace_clip_rho_threshold=settings.rho_clip, vtrace_clip_pg_rho_threshold=settings.rho_clip)

    @override(AlgorithmConfig)
    def get_rollout_fragment_length(self, worker_index: int = 0) -> int:
        """Return the rows of a trajectory in the loss: the steps, and the state after the last."""
        steps: int = self.rollout_fragment_length
        return steps + 1


class TrajectoryLearner(SlateLearner):
    """Mixes with the learners of RLlib's algorithms with V-trace."""

    def rows_together(self) -> int:
        """Return the rows of a trajectory."""
        rows: int = self.config.get_rollout_fragment_length()
        return rows


class InStep(SlateAlgorithm):
    """Mixes with RLlib's asynchronous algorithms."""

    @override(Algorithm)
    def training_step(self) -> None:
        """Sample and learn; in a single process the runner gets the newest weights at once.

        RLlib would pass them on one or two rounds late there as well, and a restored training would not know them.
        """
        super().training_step()
        if not self.config.num_env_runners and not self.config.num_learners:
            self.env_runner_group.sync_weights(
                from_worker_or_learner_group=self.learner_group, policies=[DEFAULT_MODULE_ID], inference_only=True
            )


class SlateIMPALAConfig(TrajectoryConfig, IMPALAConfig):
    """RLlib's config of IMPALA, with our settings and the problem beside it."""


class SlateIMPALALearner(TrajectoryLearner, IMPALATorchLearner):
    """The loss is RLlib's."""


class SlateIMPALA(InStep, IMPALA):
    """RLlib's IMPALA."""

    config_class = SlateIMPALAConfig
    module_class = SlateActorCriticModule
    learner_class = SlateIMPALALearner
