"""RLlib's algorithms as a `Training`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    EPISODE_LEN_MEAN,
    EPISODE_RETURN_MEAN,
    EVALUATION_RESULTS,
    LEARNER_RESULTS,
)

from recsys_cli.algos.training import Training

if TYPE_CHECKING:
    from recsys_cli.config.schema import TrainConfig
    from recsys_cli.envs.base import EnvConfig
    from recsys_cli.policies import SlatePolicy

ON_DEMAND = 10**9  # evaluation interval in iterations: runners exist, but only `evaluate` uses them

# Our metric's name, and where RLlib keeps it.
METRICS = {
    "train/return": (ENV_RUNNER_RESULTS, EPISODE_RETURN_MEAN),
    "train/episode_length": (ENV_RUNNER_RESULTS, EPISODE_LEN_MEAN),
    "train/clicks_per_step": (ENV_RUNNER_RESULTS, "clicks_per_step"),
    "learner/loss": (LEARNER_RESULTS, DEFAULT_MODULE_ID, "total_loss"),
    "learner/policy_loss": (LEARNER_RESULTS, DEFAULT_MODULE_ID, "policy_loss"),
    "learner/value_loss": (LEARNER_RESULTS, DEFAULT_MODULE_ID, "vf_loss"),
    "learner/value_explained_variance": (LEARNER_RESULTS, DEFAULT_MODULE_ID, "vf_explained_var"),
    "learner/entropy": (LEARNER_RESULTS, DEFAULT_MODULE_ID, "entropy"),
    "learner/kl": (LEARNER_RESULTS, DEFAULT_MODULE_ID, "mean_kl_loss"),
    "learner/temperature": (LEARNER_RESULTS, DEFAULT_MODULE_ID, "alpha_value"),
    "learner/choice_log_likelihood": (LEARNER_RESULTS, DEFAULT_MODULE_ID, "choice_log_likelihood"),
    "learner/true_choice_log_likelihood": (LEARNER_RESULTS, DEFAULT_MODULE_ID, "true_choice_log_likelihood"),
    "learner/lr": (LEARNER_RESULTS, DEFAULT_MODULE_ID, "default_optimizer_learning_rate"),
}


def configure(config: AlgorithmConfig, run: TrainConfig, seed: int, *, rollout_length: int) -> None:
    """Apply a run's settings to any RLlib algorithm: resources, seed, iterations, evaluation, fault tolerance."""
    resources = run.resources
    config.threads = resources.threads
    config.debugging(seed=seed, log_level="ERROR")
    config.env_runners(
        num_env_runners=resources.env_runners,
        num_envs_per_env_runner=resources.users_per_runner,
        rollout_fragment_length=rollout_length,
    )
    config.learners(num_learners=resources.learners, num_gpus_per_learner=resources.gpus_per_learner)
    config.fault_tolerance(restart_failed_env_runners=True, ignore_env_runner_failures=False)
    config.reporting(min_sample_timesteps_per_iteration=run.report_every, min_time_s_per_iteration=None)
    if resources.evaluation_runners:
        config.evaluation(
            evaluation_interval=ON_DEMAND,
            evaluation_num_env_runners=resources.evaluation_runners,
            evaluation_duration=run.evaluation.episodes,
            evaluation_duration_unit="episodes",
            evaluation_config={"explore": False},
        )


class RLlibTraining(Training):
    """Drives an RLlib `Algorithm` whose module offers `policy()`."""

    def __init__(self, config: AlgorithmConfig) -> None:
        """Build the algorithm; needs a running Ray."""
        self.algorithm = config.build_algo()

    @property
    def steps(self) -> int:
        """Env steps sampled so far by all runners."""
        return self.algorithm.env_steps

    @property
    def env(self) -> EnvConfig:
        """The problem trained on."""
        return self.algorithm.config.problem

    def step(self) -> dict[str, float]:
        """Train one RLlib iteration."""
        return pick(self.algorithm.train(), METRICS)

    def policy(self) -> SlatePolicy:
        """Return the learner's policy."""
        state = self.algorithm.learner_group.get_state(components=f"learner/rl_module/{DEFAULT_MODULE_ID}")
        policy = self.algorithm.config.new_policy()
        weights = state["learner"]["rl_module"][DEFAULT_MODULE_ID]
        policy.load_tensors({name[4:]: np.asarray(w) for name, w in weights.items() if name.startswith("net.")})
        return policy

    def start_from(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        """See `Training.start_from`; targets become copies, and what the policy lacks, as a critic, begins anew."""
        learners = self.algorithm.learner_group
        state = learners.get_state(components=f"learner/rl_module/{DEFAULT_MODULE_ID}")
        weights = state["learner"]["rl_module"][DEFAULT_MODULE_ID]
        begun = {f"net.{name}": value for name, value in tensors.items()}
        # Of `target_net` and `target_values`; those of a critic with features of its own begin anew.
        targets = {name: f"net.{name.removeprefix('target_').removeprefix('net.')}" for name in weights}
        copies = {name: begun[own] for name, own in targets.items() if name.startswith("target_") and own in begun}
        if all(weights[name].shape == copy.shape for name, copy in copies.items()):
            begun |= copies
        learners.set_weights({DEFAULT_MODULE_ID: {**weights, **begun}})
        self._send_weights()

    def evaluate(self, episodes: int, seed: int) -> dict[str, float]:
        """Play greedy episodes, on the evaluation runners if there are any."""
        if not self.algorithm.config.evaluation_num_env_runners:
            return super().evaluate(episodes, seed)
        results = self.algorithm.evaluate()
        results = results.get(EVALUATION_RESULTS, results)
        means = pick(results, {name.removeprefix("train/"): path for name, path in METRICS.items()})
        # Runners that raise are lost, and nobody hears why: here it is raised again.
        return means if "return" in means else super().evaluate(episodes, seed)

    def save(self, folder: Path) -> None:
        """Write RLlib's checkpoint."""
        self.algorithm.save_to_path(str(folder.resolve()))

    def restore(self, folder: Path) -> None:
        """Read RLlib's checkpoint, and send weights and counters to every runner before the next sample.

        RLlib drops a weight push to a runner that is still busy, so the push is awaited here. Its checkpoint holds the
        users of the local runner only; remote runners start new ones.
        """
        for group in (self.algorithm.env_runner_group, self.algorithm.eval_env_runner_group):
            if group is not None:
                group.foreach_env_runner(_take_any_weights, timeout_seconds=60.0)
        self.algorithm.restore_from_path(str(folder.resolve()))
        begin_new_streams(self.algorithm.env_runner_group, (self.algorithm.config.seed or 0, self.steps))
        self._send_weights()

    def _send_weights(self) -> None:
        self.algorithm.env_runner_group.sync_weights(
            from_worker_or_learner_group=self.algorithm.learner_group,
            policies=[DEFAULT_MODULE_ID],
            inference_only=True,
            timeout_seconds=60.0,
        )

    def stop(self) -> None:
        """End the algorithm's processes."""
        self.algorithm.stop()


def _take_any_weights(runner: Any) -> None:
    # A runner ignores weights with a lower number than its own, and those of a checkpoint may have one.
    runner._weights_seq_no = 0


def begin_new_streams(group: Any, entropy: Sequence[int], runners: Sequence[int] | None = None) -> None:
    """Give remote runners new users and random streams, different for each of them.

    RLlib restarts a runner as it first built it, and then gives it the local runner's state: it would repeat what was
    played before.

    Args:
        group: RLlib's `EnvRunnerGroup`.
        entropy: seeds the streams, together with the runner's number.
        runners: numbers of the runners; all if None.
    """
    begin = partial(_begin_new_stream, entropy=tuple(entropy))
    group.foreach_env_runner(begin, remote_worker_ids=runners, local_env_runner=False, timeout_seconds=60.0)


def _begin_new_stream(runner: Any, entropy: tuple[int, ...]) -> None:
    sequence = np.random.SeedSequence([*entropy, runner.worker_index, int(runner.config.in_evaluation)])
    env_seed, act_seed, play_seed = (int(seed) for seed in sequence.generate_state(3))
    users = runner.get_state(components=["users"])["users"]
    users |= {"env_seed": env_seed, "rng": np.random.SFC64(act_seed).state, "play_seed": play_seed}
    users.pop("env", None)  # the users' states
    runner.set_state({"users": users})


def pick(result: dict[str, Any], paths: dict[str, tuple[str, ...]]) -> dict[str, float]:
    """Return the finite numbers found under the paths, by our names."""
    found = {}
    for name, path in paths.items():
        value: Any = result
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None and math.isfinite(float(value)):
            found[name] = float(value)
    return found
