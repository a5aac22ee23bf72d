"""RLlib's DQN with our runners, replay and module; the base of SAC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.dqn import DQN, DQNConfig
from ray.rllib.utils.annotations import override

from recsys_cli.algos.dqn.learner import SlateDQNLearner
from recsys_cli.algos.dqn.module import SlateDQNModule
from recsys_cli.algos.rllib_algorithm import DecayingEpsilon, GradientAlgorithmConfig, ReplayingAlgorithm
from recsys_cli.rollouts.replay import ReplayBuffer, Ring
from recsys_cli.rollouts.sampled import SampledReplay

if TYPE_CHECKING:
    from recsys_cli.config.schema import TrainConfig


class SampledConfig(GradientAlgorithmConfig):
    """Mixes with the config of RLlib's DQN or its derivatives."""

    ring: type[Ring] = Ring  # of the replay buffer

    @override(GradientAlgorithmConfig)
    def of_run(self, settings: Any, run: TrainConfig, seed: int) -> None:
        """Also set replay and target network."""
        super().of_run(settings, run, seed)
        runners = max(run.resources.env_runners, 1)
        # RLlib samples from a buffer that may hold no complete transition yet.
        first_rows = (settings.n_step_on(run.env.spec) + 1) * run.resources.users_per_runner * runners
        self.training(
            train_batch_size_per_learner=-(-settings.batch_size // max(run.resources.learners, 1)),
            # RLlib counts the local runner as sampling, even if there are remote ones.
            training_intensity=settings.replay_ratio * runners / (run.resources.env_runners + 1),
            num_steps_sampled_before_learning_starts=max(settings.learning_starts, first_rows),
            target_network_update_freq=0,  # after every gradient step
            tau=settings.target_tau,
            grad_clip=None,
        )


class SampledAlgorithm(ReplayingAlgorithm):
    """Mixes with RLlib's DQN or its derivatives."""

    @override(Algorithm)
    def _create_local_replay_buffer_if_necessary(self, config: SampledConfig) -> SampledReplay:
        """Make our buffer: RLlib's keep episodes, and look at each of them to sample."""
        settings = config.settings
        buffer = ReplayBuffer(
            settings.replay_capacity,
            max(config.num_env_runners, 1),
            seed=(config.seed or 0) + 7,
            n_step=settings.n_step_on(config.problem.spec),
            discount=config.gamma,
            ring=config.ring,
        )
        return SampledReplay(buffer, parts=max(config.num_learners, 1))

    @override(ReplayingAlgorithm)
    def get_replay(self) -> dict[str, Any]:
        """Return the buffer's state."""
        state: dict[str, Any] = self.local_replay_buffer.buffer.get_state()
        return state

    @override(ReplayingAlgorithm)
    def set_replay(self, state: dict[str, Any]) -> None:
        """Restore it."""
        self.local_replay_buffer.buffer.set_state(state)


class SlateDQNConfig(DecayingEpsilon, SampledConfig, DQNConfig):
    """RLlib's config of DQN, with our settings and the problem beside it."""

    @override(SampledConfig)
    def of_run(self, settings: Any, run: TrainConfig, seed: int) -> None:
        """Also set the loss."""
        super().of_run(settings, run, seed)
        self.training(double_q=settings.double_q, td_error_loss_fn="mse" if settings.loss == "squared" else "huber")


class SlateDQN(SampledAlgorithm, DQN):
    """RLlib's DQN."""

    config_class = SlateDQNConfig
    module_class = SlateDQNModule
    learner_class = SlateDQNLearner
