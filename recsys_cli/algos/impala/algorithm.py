"""RLlib's IMPALA with our runners, module and batches; APPO stands on it."""

from __future__ import annotations

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
from recsys_cli.algos.rllib_algorithm import SlateAlgorithm

if TYPE_CHECKING:
    from recsys_cli.algos.impala.config import VTraceConfig
    from recsys_cli.config.schema import TrainConfig


class TrajectoryConfig(PolicyGradientAlgorithmConfig):
    """Mixes with the configs of RLlib's algorithms with V-trace, which learn from whole trajectories."""

    def of_v_trace(self, settings: VTraceConfig, run: TrainConfig, seed: int, **training: Any) -> None:
        """Take settings, problem and resources; `training` goes to RLlib."""
        self.of_policy_gradient(settings, run, seed, TrajectoryConnector)
        self.use_env_runner_state_server = False  # our runners are given weights, they do not fetch them
        self.training(
            vtrace_clip_rho_threshold=settings.rho_clip, vtrace_clip_pg_rho_threshold=settings.rho_clip, **training
        )

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
        """Sample and learn; where all is one process, nothing is waited for: its runner gets the newest weights.

        RLlib would hand them over one or two rounds late there as well, and a restored training would not know them.
        """
        super().training_step()
        if not self.config.num_env_runners and not self.config.num_learners:
            self.env_runner_group.sync_weights(
                from_worker_or_learner_group=self.learner_group, policies=[DEFAULT_MODULE_ID], inference_only=True
            )


class SlateIMPALAConfig(TrajectoryConfig, IMPALAConfig):
    """RLlib's config of IMPALA, with our settings and the problem beside it."""

    def __init__(self, algo_class: type | None = None) -> None:
        """Set the algorithm."""
        super().__init__(algo_class=algo_class or SlateIMPALA)


class SlateIMPALALearner(TrajectoryLearner, IMPALATorchLearner):
    """The loss is RLlib's."""


class SlateIMPALA(InStep, IMPALA):
    """RLlib's IMPALA."""

    @classmethod
    @override(Algorithm)
    def get_default_config(cls) -> SlateIMPALAConfig:
        """Return an unset config."""
        return SlateIMPALAConfig()
