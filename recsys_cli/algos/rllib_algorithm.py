"""Shared by all our RLlib algorithms: a config with problem and settings, runners that never repeat a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.annotations import override
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, LEARNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME

from recsys_cli.algos.rllib_training import RLlibTraining, begin_new_streams, configure
from recsys_cli.config.explore import NOT_EXPLORING, Explore
from recsys_cli.rollouts.failure import played
from recsys_cli.rollouts.runner import VectorEnvRunner

if TYPE_CHECKING:
    from recsys_cli.config.schema import TrainConfig
    from recsys_cli.envs.base import EnvConfig
    from recsys_cli.policies import SlatePolicy
    from recsys_cli.policies.memory import Memory
    from recsys_cli.rollouts.chunk import Chunk

REPLAY = "replay"


class SlateAlgorithmConfig(AlgorithmConfig):
    """RLlib's config with our settings and the problem; mixes with the configs of RLlib's own algorithms.

    Attributes:
        algorithm: names module and learner.
        settings: the algorithm's dataclass.
        problem: to be played.
        training_env_steps: length of the training, for schedules.
    """

    algorithm: type[SlateAlgorithm]
    settings: Any
    problem: EnvConfig
    training_env_steps: int

    def __init__(self, algo_class: type | None = None) -> None:
        """Set RLlib's options for our algorithms."""
        super().__init__(algo_class=algo_class)
        self.algorithm = algo_class  # type: ignore[assignment]  # RLlib builds configs anew, without their `algo_class`
        self.settings = self.problem = None  # type: ignore[assignment]  # given by `of_run`
        self.training_env_steps = 0
        self.env_runner_cls = VectorEnvRunner
        self.torch_skip_nan_gradients = True  # "skip" the look at them: RLlib would set them to zero without a word
        # A failed remote call sleeps this long before the runner exits; RLlib's 60 s look like a hang.
        self.delay_between_env_runner_restarts_s = 1.0

    def of_run(self, settings: Any, run: TrainConfig, seed: int) -> None:
        """Take settings, problem and resources."""
        self.settings, self.problem, self.training_env_steps = settings, run.env, run.steps
        configure(self, run, seed, rollout_length=settings.rollout_length)

    def new_policy(self) -> SlatePolicy:
        """Return an untrained policy of these settings."""
        policy: SlatePolicy = self.settings.make_policy(self.problem.spec)
        return policy

    def learning_memory(self, policy: SlatePolicy, users: int) -> Memory:
        """Return the session memory of so many users that learners take: that of the policy which they teach."""
        return policy.new_memory(users)

    def exploration_at(self, env_steps: int) -> Explore:
        """Return the runners' exploration after that many env steps, in addition to the policy's own."""
        return NOT_EXPLORING

    @override(AlgorithmConfig)
    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """Return the module's spec."""
        own = {"settings": self.settings, "spec": self.problem.spec, "seed": self.seed or 0}
        return RLModuleSpec(module_class=self.algorithm.module_class, model_config=own)

    @override(AlgorithmConfig)
    def get_default_learner_class(self) -> type:
        """Return the learner."""
        learner: type = self.algorithm.learner_class
        return learner


class DecayingEpsilon(SlateAlgorithmConfig):
    """Mixes in random slates whose probability falls along a line, by the settings' `epsilon_...`."""

    @override(SlateAlgorithmConfig)
    def exploration_at(self, env_steps: int) -> Explore:
        """Return the probability of a random slate after that many env steps."""
        first, last = self.settings.epsilon_initial, self.settings.epsilon_final
        span = self.settings.epsilon_fraction * self.training_env_steps
        return Explore("epsilon", last + (first - last) * max(0.0, 1.0 - env_steps / span) if span else last)


class GradientAlgorithmConfig(SlateAlgorithmConfig):
    """Adds what learning by gradients needs: a discount, if it has one, and a learning rate."""

    @override(SlateAlgorithmConfig)
    def of_run(self, settings: Any, run: TrainConfig, seed: int) -> None:
        """Also set RLlib's discount and learning rate."""
        super().of_run(settings, run, seed)
        self.gamma, self.lr = settings.discount_on(run.env.spec), settings.lr

    def lr_schedule_of_run(self) -> Any:
        """Return RLlib's learning-rate schedule: a number, or points of env steps and rates."""
        if self.settings.lr_schedule == "constant":
            return self.settings.lr
        last = self.settings.lr * self.settings.lr_final_fraction
        return [[0, self.settings.lr], [self.training_env_steps, last]]


class MinibatchAlgorithmConfig(GradientAlgorithmConfig):
    """The config of algorithms with a `MinibatchLearner`."""

    def __init__(self, algo_class: type | None = None) -> None:
        """Compile nothing unless a run says so."""
        super().__init__(algo_class=algo_class)
        self.compiled = False  # whether gradient steps are

    @override(GradientAlgorithmConfig)
    def of_run(self, settings: Any, run: TrainConfig, seed: int) -> None:
        """Take the framework's way of gradient steps as well."""
        super().of_run(settings, run, seed)
        self.compiled = run.framework.compiled


class SlateAlgorithm(Algorithm):
    """Mixes with RLlib's own algorithms, or stands below one of ours.

    Attributes:
        config_class: RLlib's config of it.
        module_class: its RLlib module.
        learner_class: its RLlib learner.
        training_class: what drives it.
    """

    config_class: ClassVar[type[SlateAlgorithmConfig]] = SlateAlgorithmConfig
    module_class: ClassVar[type]
    learner_class: ClassVar[type]
    training_class: ClassVar[type[RLlibTraining]] = RLlibTraining

    @classmethod
    @override(Algorithm)
    def get_default_config(cls) -> SlateAlgorithmConfig:
        """Return an unset config."""
        return cls.config_class(algo_class=cls)

    @classmethod
    def config_of(cls, settings: Any, run: TrainConfig, seed: int) -> SlateAlgorithmConfig:
        """Turn settings and a run's config into RLlib's."""
        config = cls.get_default_config()
        config.of_run(settings, run, seed)
        return config

    @classmethod
    def of_run(cls, settings: Any, run: TrainConfig, seed: int) -> RLlibTraining:
        """Build a training; needs a running Ray."""
        return cls.training_class(cls.config_of(settings, run, seed))

    @property
    def env_steps(self) -> int:
        """Env steps sampled so far by all runners."""
        return int(self.metrics.peek((ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME), default=0))

    def update(self, columns: dict[str, Any]) -> list[Any]:
        """Pass rows to the learners and return their results, one per learner."""
        rows = len(columns["reward"])
        batch = MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch(columns)}, rows)
        timesteps = {NUM_ENV_STEPS_SAMPLED_LIFETIME: self.env_steps}
        return self.learner_group.update(batch=batch, timesteps=timesteps)

    @override(Algorithm)
    def restore_env_runners(self, env_runner_group: Any) -> list[int]:
        """Restart failed runners, with users not played before."""
        restored: list[int] = super().restore_env_runners(env_runner_group)
        if restored:
            count = int(self._counters["total_num_restored_workers"])
            begin_new_streams(env_runner_group, (self.config.seed or 0, self.env_steps, count), restored)
        return restored


class ReplayingAlgorithm(SlateAlgorithm):
    """Adds what is replayed to checkpoints, in which RLlib holds no buffer."""

    def get_replay(self) -> dict[str, Any]:
        """Return the buffer's state, and all else that decides which rows are learned from."""
        raise NotImplementedError

    def set_replay(self, state: dict[str, Any]) -> None:
        """Restore what `get_replay` returned."""
        raise NotImplementedError

    @override(Algorithm)
    def get_state(self, components: Any = None, *, not_components: Any = None, **kwargs: Any) -> dict[str, Any]:
        """Add the replay buffer."""
        state: dict[str, Any] = super().get_state(components, not_components=not_components, **kwargs)
        if self._check_component(REPLAY, components, not_components):
            state[REPLAY] = self.get_replay()
        return state

    @override(Algorithm)
    def set_state(self, state: dict[str, Any]) -> None:
        """Restore the state."""
        super().set_state(state)
        if REPLAY in state:
            self.set_replay(state[REPLAY])


class CollectingAlgorithm(SlateAlgorithm):
    """Collects chunks with the vectorised runners; subclasses learn from them."""

    config: SlateAlgorithmConfig

    def collect(self) -> list[Chunk]:
        """Let every runner play one chunk, and take over their metrics.

        Raises:
            RuntimeError: a remote runner failed.
        """
        results = self.env_runner_group.foreach_env_runner(
            lambda runner: (runner.sample(), runner.get_metrics()),
            local_env_runner=self.config.num_env_runners == 0,
            timeout_seconds=self.config.sample_timeout_s,
        )
        self.metrics.aggregate([metrics for _, metrics in results], key=ENV_RUNNER_RESULTS)
        return played(chunk for chunks, _ in results for chunk in chunks)

    def publish(self, results: list[Any]) -> None:
        """Take over the learners' metrics, and send their weights to the runners."""
        self.metrics.aggregate(results, key=LEARNER_RESULTS)
        self.env_runner_group.sync_weights(
            from_worker_or_learner_group=self.learner_group, policies=[DEFAULT_MODULE_ID], inference_only=True
        )
