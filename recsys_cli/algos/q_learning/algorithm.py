"""Q-learning from replay as an RLlib algorithm on the vectorised runner."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.annotations import override
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    LEARNER_RESULTS,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    TD_ERROR_KEY,
)

from recsys_cli.algos.q_learning.learner import REPLAY_INDEX
from recsys_cli.rollouts.prioritized import PrioritizedReplay
from recsys_cli.rollouts.replay import ReplayBuffer
from recsys_cli.rollouts.runner import VectorEnvRunner

if TYPE_CHECKING:
    from recsys_cli.algos.q_learning.config import QLearningConfig
    from recsys_cli.config.schema import TrainConfig
    from recsys_cli.envs.base import EnvConfig
    from recsys_cli.policies import SlatePolicy

REPLAY = "replay"


class QLearningAlgorithmConfig(AlgorithmConfig):
    """RLlib's config with our settings and the problem beside it."""

    def __init__(self, algo_class: type | None = None) -> None:
        """Set what our algorithms need of RLlib."""
        super().__init__(algo_class=algo_class or QLearning)
        self.settings: QLearningConfig = None  # type: ignore[assignment]  # given by `slate_problem`
        self.problem: EnvConfig = None  # type: ignore[assignment]
        self.training_env_steps = 0
        self.compiled = False  # whether gradient steps are
        self.env_runner_cls = VectorEnvRunner
        # A failed remote call sleeps this long before the runner exits; RLlib's 60 s look like a hang.
        self.delay_between_env_runner_restarts_s = 1.0

    def slate_problem(self, *, problem: EnvConfig, settings: QLearningConfig, training_env_steps: int) -> Self:
        """Set the problem, the settings, and the length of the training that schedules refer to."""
        self.problem, self.settings, self.training_env_steps = problem, settings, training_env_steps
        self.gamma, self.lr = settings.discount_on(problem), settings.lr
        return self

    def new_policy(self) -> SlatePolicy:
        """Return an untrained policy of these settings."""
        return self.settings.make_policy(self.problem)

    def lr_schedule_of_run(self) -> Any:
        """Return RLlib's learning-rate schedule: a number, or points of env steps and rates."""
        if self.settings.lr_schedule == "constant":
            return self.settings.lr
        last = self.settings.lr * self.settings.lr_final_fraction
        return [[0, self.settings.lr], [self.training_env_steps, last]]

    def epsilon(self, env_steps: int) -> float:
        """Return the probability of a random slate after that many env steps."""
        first, last = self.settings.epsilon_initial, self.settings.epsilon_final
        span = self.settings.epsilon_fraction * self.training_env_steps
        return last + (first - last) * max(0.0, 1.0 - env_steps / span) if span else last

    @override(AlgorithmConfig)
    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """Return the module's spec."""
        own = {"settings": self.settings, "problem": self.problem}
        return RLModuleSpec(module_class=self.settings.module_class(), model_config=own)

    @override(AlgorithmConfig)
    def get_default_learner_class(self) -> type:
        """Return the learner."""
        return self.settings.learner_class()


def q_learning_algorithm_config(settings: QLearningConfig, run: TrainConfig, seed: int) -> QLearningAlgorithmConfig:
    """Turn a run's config into RLlib's."""
    from recsys_cli.algos.rllib_training import configure

    config = QLearningAlgorithmConfig()
    config.slate_problem(problem=run.env, settings=settings, training_env_steps=run.env_steps)
    configure(config, run, seed, rollout_length=settings.rollout_length)
    config.compiled = run.framework.compiled
    return config


class QLearning(Algorithm):
    """Collects with the vectorised runners, keeps a replay buffer, learns many minibatches an update."""

    config: QLearningAlgorithmConfig

    @classmethod
    @override(Algorithm)
    def get_default_config(cls) -> QLearningAlgorithmConfig:
        """Return an unset config."""
        return QLearningAlgorithmConfig()

    @override(Algorithm)
    def setup(self, config: QLearningAlgorithmConfig) -> None:
        """Build runners and learners, then the replay buffer."""
        super().setup(config)
        settings, streams = self.config.settings, max(self.config.num_env_runners, 1)
        kind: Callable[..., ReplayBuffer] = ReplayBuffer
        if settings.replay == "prioritized":
            kind = partial(PrioritizedReplay, alpha=settings.priority_alpha, beta=settings.priority_beta)
        self.replay = kind(
            settings.replay_capacity,
            streams,
            seed=(self.config.seed or 0) + 7,
            n_step=settings.n_step_on(self.config.problem),
            discount=self.config.gamma,
        )
        self.rows_due = 0.0  # rows to learn from that earlier rounds left over

    @override(Algorithm)
    def training_step(self) -> None:
        """Collect one round, learn `replay_ratio` rows a transition, hand the weights to the runners."""
        results = self.env_runner_group.foreach_env_runner(
            lambda runner: (runner.sample(), runner.get_metrics()),
            local_env_runner=self.config.num_env_runners == 0,
            timeout_seconds=self.config.sample_timeout_s,
        )
        collected = 0
        for chunks, _ in results:
            for chunk in chunks:
                self.replay.add(chunk)
                collected += len(chunk)
        self.metrics.aggregate([metrics for _, metrics in results], key=ENV_RUNNER_RESULTS)
        self._learn(collected)

    def _learn(self, collected: int) -> None:
        settings, size = self.config.settings, self.config.settings.batch_size
        env_steps = self.metrics.peek((ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME), default=0)
        if env_steps < settings.learning_starts or not len(self.replay):
            return
        self.rows_due += collected * settings.replay_ratio
        rows = int(self.rows_due // size) * size
        if not rows:
            return
        self.rows_due -= rows
        sample = self.replay.sample(rows, env_steps / self.config.training_env_steps)
        batch = MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch(sample)}, rows)
        results = self.learner_group.update(batch=batch, timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: env_steps})
        if isinstance(self.replay, PrioritizedReplay):
            for result in results:
                module = result[DEFAULT_MODULE_ID]
                index, error = (np.concatenate(module.pop(key).peek()) for key in (REPLAY_INDEX, TD_ERROR_KEY))
                self.replay.update(index, error)
        self.metrics.aggregate(results, key=LEARNER_RESULTS)
        self.env_runner_group.sync_weights(
            from_worker_or_learner_group=self.learner_group, policies=[DEFAULT_MODULE_ID], inference_only=True
        )

    @override(Algorithm)
    def restore_env_runners(self, env_runner_group: Any) -> list[int]:
        """Bring failed runners back, with users that were not played before."""
        from recsys_cli.algos.rllib_training import begin_new_streams

        restored: list[int] = super().restore_env_runners(env_runner_group)
        if restored:
            count = int(self._counters["total_num_restored_workers"])
            env_steps = int(self.metrics.peek((ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME), default=0))
            begin_new_streams(env_runner_group, (self.config.seed or 0, env_steps, count), restored)
        return restored

    @override(Algorithm)
    def get_state(self, components: Any = None, *, not_components: Any = None, **kwargs: Any) -> dict[str, Any]:
        """Add the replay buffer."""
        state = super().get_state(components, not_components=not_components, **kwargs)
        if self._check_component(REPLAY, components, not_components):
            state[REPLAY] = {"buffer": self.replay.get_state(), "rows_due": self.rows_due}
        return state

    @override(Algorithm)
    def set_state(self, state: dict[str, Any]) -> None:
        """Take back the state."""
        super().set_state(state)
        if REPLAY in state:
            self.replay.set_state(state[REPLAY]["buffer"])
            self.rows_due = state[REPLAY]["rows_due"]
