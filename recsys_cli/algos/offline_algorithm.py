"""Learning from logged steps by gradients: RLlib's algorithm and learners, fed from a data set instead of runners."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.env import INPUT_ENV_SINGLE_SPACES, INPUT_ENV_SPACES
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.utils.annotations import override
from ray.rllib.utils.checkpoints import Checkpointable
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, LEARNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME

from recsys_cli.algos.held_out import HeldOut
from recsys_cli.algos.rllib_algorithm import MinibatchAlgorithmConfig, ReplayingAlgorithm
from recsys_cli.algos.rllib_training import RLlibTraining
from recsys_cli.envs.slate_space import SlateSpace
from recsys_cli.offline.replay import LoggedReplay

if TYPE_CHECKING:
    from recsys_cli.offline.problem import LoggedProblem

MINIBATCHES = 64  # of an update: its fixed cost is that of ten gradient steps


class NoRunner(EnvRunner, Checkpointable):
    """Plays nothing: RLlib asks a runner for the problem's spaces, and gives it weights."""

    def __init__(self, *, config: Any, **kwargs: Any) -> None:
        """Take the config."""
        super().__init__(config=config, **kwargs)
        self.spec = config.problem.spec

    @override(EnvRunner)
    def get_spaces(self) -> dict[str, Any]:
        """Return the spaces of one user."""
        action = SlateSpace(self.spec.width, self.spec.slate_size, shorter=self.spec.varying)
        spaces = (self.spec.observation_space(), action)
        return {INPUT_ENV_SPACES: spaces, INPUT_ENV_SINGLE_SPACES: spaces, DEFAULT_MODULE_ID: spaces}

    @override(EnvRunner)
    def make_env(self) -> None:
        """Make none."""

    @override(EnvRunner)
    def make_module(self) -> None:
        """Make none."""

    @override(EnvRunner)
    def assert_healthy(self) -> None:
        """It always is."""

    @override(EnvRunner)
    def sample(self, **kwargs: Any) -> Any:
        """Refuse."""
        raise NotImplementedError("a log is not played")

    @override(EnvRunner)
    def get_metrics(self) -> dict[str, Any]:
        """Return none."""
        return {}

    @override(Checkpointable)
    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return nothing."""
        return {}

    @override(Checkpointable)
    def get_ctor_args_and_kwargs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the constructor's arguments."""
        return (), {"config": self.config}

    @override(Checkpointable)
    def set_state(self, state: dict[str, Any]) -> None:
        """Forget it."""


class OfflineAlgorithmConfig(MinibatchAlgorithmConfig):
    """RLlib's config of learning from a log."""

    problem: LoggedProblem

    def __init__(self, algo_class: type | None = None) -> None:
        """Play nothing."""
        super().__init__(algo_class=algo_class)
        self.env_runner_cls = NoRunner


class OfflineTraining(RLlibTraining):
    """Judges what it learned on held-out episodes."""

    def estimate(self) -> dict[str, float]:
        """See `Training.estimate`."""
        estimate: dict[str, float] = self.algorithm.held_out.estimate(self.policy())
        return estimate


class OfflineAlgorithm(ReplayingAlgorithm):
    """Draws minibatches from a log; its env steps are the rows drawn."""

    config: OfflineAlgorithmConfig
    config_class = OfflineAlgorithmConfig
    training_class = OfflineTraining

    @override(Algorithm)
    def setup(self, config: OfflineAlgorithmConfig) -> None:
        """Build the learners, and open the log."""
        super().setup(config)
        settings, problem = self.config.settings, self.config.problem
        self.held_out = HeldOut(problem.dataset)
        self.replay = LoggedReplay(
            self.held_out.training_batches,
            partial(self.config.learning_memory, self.config.new_policy()),
            capacity=settings.replay_capacity,
            discount=self.config.gamma,
            n_step=settings.n_step_on(problem.spec),
            seed=(self.config.seed or 0) + 7,
            next_slates=getattr(settings, "target", None) == "sarsa",
        )

    @override(Algorithm)
    def training_step(self) -> None:
        """Learn from some minibatches; equally many updates of about as many make a report."""
        size = self.config.settings.batch_size
        a_report = -(-self.config.min_sample_timesteps_per_iteration // size)
        rows = size * -(-a_report // -(-a_report // MINIBATCHES))
        self.metrics.log_value((ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME), rows, reduce="lifetime_sum")
        self.metrics.aggregate(self.update(self.replay.sample(rows)), key=LEARNER_RESULTS)

    @override(ReplayingAlgorithm)
    def get_replay(self) -> dict[str, Any]:
        """Return where in the log it is, and the state of the draws."""
        return self.replay.get_state()

    @override(ReplayingAlgorithm)
    def set_replay(self, state: dict[str, Any]) -> None:
        """Restore them."""
        self.replay.set_state(state)
