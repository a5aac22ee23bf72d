"""RLlib's env runner for slates: N users in lock-step, flat time-major chunks, no per-episode Python objects."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from ray.rllib.core import COMPONENT_RL_MODULE, DEFAULT_AGENT_ID, DEFAULT_MODULE_ID
from ray.rllib.env import INPUT_ENV_SINGLE_SPACES, INPUT_ENV_SPACES
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.utils.annotations import override
from ray.rllib.utils.checkpoints import Checkpointable
from ray.rllib.utils.metrics import (
    EPISODE_LEN_MEAN,
    EPISODE_RETURN_MEAN,
    NUM_AGENT_STEPS_SAMPLED_LIFETIME,
    NUM_ENV_STEPS_SAMPLED,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    NUM_EPISODES,
    NUM_EPISODES_LIFETIME,
    NUM_MODULE_STEPS_SAMPLED_LIFETIME,
    WEIGHTS_SEQ_NO,
)

from recsys_cli.policies.exploration import Rule, explored
from recsys_cli.policies.uniform import UniformPolicy
from recsys_cli.rollouts.chunk import Chunk
from recsys_cli.rollouts.collector import Collector
from recsys_cli.rollouts.episodes import play
from recsys_cli.rollouts.failure import Failure

CLICKS_PER_STEP = "clicks_per_step"
RETURNS_LIFETIME = "returns_lifetime"  # summed over all finished episodes


class VectorEnvRunner(EnvRunner, Checkpointable):
    """Plays `users_per_runner` users with the module's policy, and cuts their steps into chunks.

    The policy behaves as while learning, and also explores by the config's `exploration_at(env_steps)`. The config also
    carries `problem` (EnvConfig) and, as RLlib's own keys, `num_envs_per_env_runner` (users) and
    `rollout_fragment_length` (lock-steps per chunk).
    """

    keeps_propensities: ClassVar[bool] = False
    """Whether its chunks hold the slates' log-probabilities."""

    def __init__(self, *, config: Any, **kwargs: Any) -> None:
        """Build env and module; `recreated_worker` means that an earlier runner of this index failed."""
        super().__init__(config=config, **kwargs)
        self.worker_index: int = kwargs.get("worker_index") or 0
        torch.set_num_threads(getattr(config, "threads", 1))
        # A restarted runner must not replay the stream of the one it replaces.
        entropy = [self.config.seed or 0, self.worker_index, int(self.config.in_evaluation)]
        if kwargs.get("recreated_worker"):
            entropy.append(int.from_bytes(np.random.SeedSequence().generate_state(2).tobytes(), "little"))
        env_seed, act_seed, self._play_seed = (int(s) for s in np.random.SeedSequence(entropy).generate_state(3))
        self.rng = np.random.Generator(np.random.SFC64(act_seed))
        self._env_seed = env_seed  # of the collector
        self._weights_seq_no = 0
        self.make_env()
        self.make_module()

    @override(EnvRunner)
    def make_env(self) -> None:
        """Make new users."""
        users = self.config.num_envs_per_env_runner
        self.collector = Collector(self.config.problem, users, seed=self._env_seed, stream=self.worker_index)
        self.env = self.collector.env

    @override(EnvRunner)
    def make_module(self) -> None:
        """Make the module for acting, without parts that only learners need."""
        spec = self.config.get_rl_module_spec(env=None, spaces=self.get_spaces(), inference_only=True)
        self.module = spec.build()
        self.policy = self.module.policy()
        self.collector.remember(self.config.learning_memory(self.policy, self.collector.users))

    @override(EnvRunner)
    def get_spaces(self) -> dict[str, Any]:
        """Return the spaces of one user and of all."""
        single = (self.env.single_observation_space, self.env.single_action_space)
        return {
            INPUT_ENV_SPACES: (self.env.observation_space, self.env.action_space),
            INPUT_ENV_SINGLE_SPACES: single,
            DEFAULT_MODULE_ID: single,
        }

    @override(EnvRunner)
    def assert_healthy(self) -> None:
        """Check that construction succeeded."""
        assert self.env is not None and self.module is not None

    @override(EnvRunner)
    def sample(
        self,
        *,
        num_timesteps: int | None = None,
        num_episodes: int | None = None,
        explore: bool | None = None,
        random_actions: bool = False,
        force_reset: bool = False,
        **kwargs: Any,
    ) -> list[Any]:
        """Collect a chunk, or play whole episodes.

        Args:
            num_timesteps: least env steps to collect; the config's chunk if None.
            num_episodes: instead play this many fresh users to the end, for metrics only.
            explore: whether to explore, or act as the policy is served; the config's `explore` if None. Whole episodes
                are always played as served.
            random_actions: show uniform slates only.
            force_reset: begin new episodes first.
            **kwargs: further arguments of RLlib; not used.

        Returns:
            `Chunk`s, or one `PlayedEpisodes`; of a remote runner whose simulator or policy raised, a `Failure`.
        """
        explore = self.config.explore if explore is None else explore
        if num_episodes is not None:
            return [self._play(num_episodes)]
        users = self.config.num_envs_per_env_runner
        length = self.config.rollout_fragment_length
        if num_timesteps is not None:
            length = -(-num_timesteps // users)
        if force_reset:
            self.collector.reset()
        chunks: list[Any]
        try:
            chunks = self._collect(length, explore, random_actions)
        except Exception:
            if not self.worker_index:
                raise
            chunks = [Failure()]
        self._log_steps(sum(chunk.env_steps() for chunk in chunks))
        return chunks

    def _collect(self, length: int, explore: bool, random_actions: bool) -> list[Chunk]:
        """Play `length` lock-steps."""
        rule = self._rule(explore, random_actions)
        return [self.collector.collect(length, rule, self.rng, propensities=self.keeps_propensities)]

    def _rule(self, explore: bool, random_actions: bool) -> Rule:
        policy = self.policy
        if random_actions:
            return UniformPolicy(policy.slate_size).distribution
        if not explore:
            return policy.served
        # The lifetime count is global after a sync, so that all runners follow the same schedule.
        exploration = self.config.exploration_at(self.num_env_steps_sampled_lifetime)
        return explored(exploration, policy, policy.behaviour)

    def _play(self, num_episodes: int) -> PlayedEpisodes:
        self._play_seed += 1
        episodes = play(self.policy, self.config.problem, num_episodes, self._play_seed)
        self.collector.finished.append(episodes)
        steps = int(episodes.lengths.sum())
        self._log_steps(steps)
        return PlayedEpisodes(steps)

    def _log_steps(self, steps: int) -> None:
        self.num_env_steps_sampled_lifetime += steps * max(self.config.num_env_runners, 1)
        log = self.metrics.log_value
        log(NUM_ENV_STEPS_SAMPLED, steps, reduce="sum")
        log(NUM_ENV_STEPS_SAMPLED_LIFETIME, steps, reduce="lifetime_sum", with_throughput=True)
        log((NUM_AGENT_STEPS_SAMPLED_LIFETIME, DEFAULT_AGENT_ID), steps, reduce="lifetime_sum")
        log((NUM_MODULE_STEPS_SAMPLED_LIFETIME, DEFAULT_MODULE_ID), steps, reduce="lifetime_sum")

    @override(EnvRunner)
    def get_metrics(self) -> Any:
        """Return the metrics of what was sampled since the last call."""
        finished = self.collector.take_finished()
        episodes = 0 if finished is None else len(finished)
        self.metrics.log_value(NUM_EPISODES, episodes, reduce="sum")
        self.metrics.log_value(NUM_EPISODES_LIFETIME, episodes, reduce="lifetime_sum")
        total = 0.0 if finished is None else float(finished.returns.sum())
        self.metrics.log_value(RETURNS_LIFETIME, total, reduce="lifetime_sum")
        if finished is not None:
            means = finished.summary()
            self.metrics.log_value(EPISODE_RETURN_MEAN, means["return"], window=1)
            self.metrics.log_value(EPISODE_LEN_MEAN, means["episode_length"], window=1)
            self.metrics.log_value(CLICKS_PER_STEP, means["clicks_per_step"], window=1)
        return self.metrics.reduce()

    @override(EnvRunner)
    def stop(self) -> None:
        """Close the env."""
        self.collector.close()

    @override(Checkpointable)
    def get_state(self, components: Any = None, *, not_components: Any = None, **kwargs: Any) -> dict[str, Any]:
        """Return weights, counters, random streams, and the users' states (native problems)."""
        state: dict[str, Any] = {NUM_ENV_STEPS_SAMPLED_LIFETIME: self.num_env_steps_sampled_lifetime}
        if self._check_component(COMPONENT_RL_MODULE, components, not_components):
            state[COMPONENT_RL_MODULE] = self.module.get_state(**kwargs)
            state[WEIGHTS_SEQ_NO] = self._weights_seq_no
        if self._check_component("users", components, not_components):
            state["users"] = self._users_state()
        return state

    def _users_state(self) -> dict[str, Any]:
        own = {"rng": self.rng.bit_generator.state, "play_seed": self._play_seed}
        return own | self.collector.get_state()

    @override(Checkpointable)
    def set_state(self, state: dict[str, Any]) -> None:
        """Restore the state, or the given part of it."""
        if COMPONENT_RL_MODULE in state:
            self._set_weights(state)
        if NUM_ENV_STEPS_SAMPLED_LIFETIME in state:
            self.num_env_steps_sampled_lifetime = state[NUM_ENV_STEPS_SAMPLED_LIFETIME]
        if "users" in state:
            self._set_users_state(state["users"])

    def _set_weights(self, state: dict[str, Any]) -> None:
        import ray

        number = state.get(WEIGHTS_SEQ_NO, 0)
        if number and self._weights_seq_no >= number:
            return
        weights = state[COMPONENT_RL_MODULE]
        weights = ray.get(weights) if isinstance(weights, ray.ObjectRef) else weights
        self.module.set_state(weights.get(DEFAULT_MODULE_ID, weights))
        self._weights_seq_no = number or self._weights_seq_no

    def _set_users_state(self, state: dict[str, Any]) -> None:
        self.rng.bit_generator.state = state["rng"]
        self._play_seed = state["play_seed"]
        self.collector.set_state(state)

    @override(Checkpointable)
    def get_ctor_args_and_kwargs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the constructor's arguments."""
        return (), {"config": self.config}

    @override(Checkpointable)
    def get_checkpointable_components(self) -> list[tuple[str, Any]]:
        """Return the parts that are checkpointed separately."""
        return [(COMPONENT_RL_MODULE, self.module)]


class PlayedEpisodes:
    """What evaluation needs from played episodes: their env steps."""

    def __init__(self, steps: int) -> None:
        """Keep the number of env steps."""
        self.steps = steps

    def env_steps(self) -> int:
        """Return the env steps played."""
        return self.steps

    def agent_steps(self) -> int:
        """Return the env steps played."""
        return self.steps
