"""SlateQ as an RLlib algorithm on the vectorised runner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

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
)

from recsys_cli.algos.slateq.module import SlateQModule
from recsys_cli.rollouts.replay import ReplayBuffer
from recsys_cli.rollouts.runner import VectorEnvRunner

if TYPE_CHECKING:
    from recsys_cli.algos.slateq.config import SlateQConfig
    from recsys_cli.algos.slateq.policy import SlateQPolicy
    from recsys_cli.config.schema import TrainConfig
    from recsys_cli.envs.base import EnvConfig

REPLAY = "replay"


class SlateQAlgorithmConfig(AlgorithmConfig):
    """RLlib's config with SlateQ's settings and the problem beside it."""

    def __init__(self, algo_class: type | None = None) -> None:
        """Set what SlateQ needs of RLlib."""
        super().__init__(algo_class=algo_class or SlateQ)
        self.slateq: SlateQConfig = None  # type: ignore[assignment]  # given by `slate_problem`
        self.problem: EnvConfig = None  # type: ignore[assignment]
        self.training_env_steps = 0
        self.env_runner_cls = VectorEnvRunner
        # A failed remote call sleeps this long before the runner exits; RLlib's 60 s look like a hang.
        self.delay_between_env_runner_restarts_s = 1.0

    def slate_problem(self, *, problem: EnvConfig, slateq: SlateQConfig, training_env_steps: int) -> Self:
        """Set the problem, the settings, and the length of the training that schedules refer to."""
        self.problem, self.slateq, self.training_env_steps = problem, slateq, training_env_steps
        self.gamma, self.lr = slateq.discount_on(problem), slateq.lr
        return self

    def new_policy(self) -> SlateQPolicy:
        """Return an untrained policy of these settings."""
        return self.slateq.make_policy(self.problem)

    def lr_schedule_of_run(self) -> Any:
        """Return RLlib's learning-rate schedule: a number, or points of env steps and rates."""
        if self.slateq.lr_schedule == "constant":
            return self.slateq.lr
        last = self.slateq.lr * self.slateq.lr_final_fraction
        return [[0, self.slateq.lr], [self.training_env_steps, last]]

    def epsilon(self, env_steps: int) -> float:
        """Return the probability of a random slate after that many env steps."""
        first, last = self.slateq.epsilon_initial, self.slateq.epsilon_final
        span = self.slateq.epsilon_fraction * self.training_env_steps
        return last + (first - last) * max(0.0, 1.0 - env_steps / span) if span else last

    @override(AlgorithmConfig)
    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """Return the module's spec."""
        return RLModuleSpec(module_class=SlateQModule, model_config={"settings": self.slateq, "problem": self.problem})

    @override(AlgorithmConfig)
    def get_default_learner_class(self) -> type:
        """Return the learner."""
        from recsys_cli.algos.slateq.learner import SlateQLearner

        return SlateQLearner


def slateq_algorithm_config(settings: SlateQConfig, run: TrainConfig, seed: int) -> SlateQAlgorithmConfig:
    """Turn a run's config into RLlib's."""
    from recsys_cli.algos.rllib_training import configure

    config = SlateQAlgorithmConfig()
    config.slate_problem(problem=run.env, slateq=settings, training_env_steps=run.env_steps)
    configure(config, run, seed, rollout_length=settings.rollout_length)
    return config


class SlateQ(Algorithm):
    """Collects with the vectorised runners, keeps a replay buffer, learns many minibatches an update."""

    config: SlateQAlgorithmConfig

    @classmethod
    @override(Algorithm)
    def get_default_config(cls) -> SlateQAlgorithmConfig:
        """Return an unset config."""
        return SlateQAlgorithmConfig()

    @override(Algorithm)
    def setup(self, config: SlateQAlgorithmConfig) -> None:
        """Build runners and learners, then the replay buffer."""
        super().setup(config)
        settings, streams = self.config.slateq, max(self.config.num_env_runners, 1)
        self.replay = ReplayBuffer(
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
        settings, size = self.config.slateq, self.config.slateq.batch_size
        env_steps = self.metrics.peek((ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME), default=0)
        if env_steps < settings.learning_starts or not len(self.replay):
            return
        self.rows_due += collected * settings.replay_ratio
        rows = int(self.rows_due // size) * size
        if not rows:
            return
        self.rows_due -= rows
        batch = MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch(self.replay.sample(rows))}, rows)
        results = self.learner_group.update(batch=batch, timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: env_steps})
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
