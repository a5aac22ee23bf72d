"""Training of the baselines: the policy learns, if at all, from uniformly random slates. Needs no Ray."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_cli.algos.local_training import LocalTraining
from recsys_cli.algos.training import episode_metrics
from recsys_cli.policies import SlatePolicy, UniformPolicy
from recsys_cli.policies.myopic import MyopicPolicy
from recsys_cli.rollouts.collector import Collector

if TYPE_CHECKING:
    from recsys_cli.algos.base import AlgoConfig
    from recsys_cli.config.schema import TrainConfig
    from recsys_cli.envs.base import EnvConfig

CHUNK_LOCK_STEPS = 32  # the most held at once with all their candidates


class BaselineTraining(LocalTraining):
    """Plays random slates in this process and passes their transitions to the policy."""

    def __init__(self, policy: SlatePolicy, run: TrainConfig, seed: int) -> None:
        """Make the users.

        Args:
            policy: to be trained.
            run: the problem, the users and the env steps per report.
            seed: of users and slates.
        """
        env_seed, slate_seed = (int(s) for s in np.random.SeedSequence(seed).generate_state(2))
        self._policy = policy
        self._learn = policy.learn if isinstance(policy, MyopicPolicy) and policy.learns else None
        self._env, self._report_every = run.env, run.report_every
        self._collector = Collector(run.env, run.resources.users_per_runner, seed=env_seed)
        self._random = UniformPolicy(run.env.slate_size)
        self._rng = np.random.Generator(np.random.SFC64(slate_seed))
        self._env_steps = 0

    @classmethod
    def of_run(cls, settings: AlgoConfig, run: TrainConfig, seed: int) -> BaselineTraining:
        """Build a training of a run's problem with these settings."""
        return cls(settings.make_policy(run.env.spec, seed), run, seed)

    @property
    def steps(self) -> int:
        """Env steps played so far."""
        return self._env_steps

    @property
    def env(self) -> EnvConfig:
        """The problem."""
        return self._env

    def step(self) -> dict[str, float]:
        """Play at least `report_every` env steps, learn from them, and return the means of the episodes."""
        parts, due = [], self._env_steps + self._report_every
        while self._env_steps < due:
            length = min(-(-(due - self._env_steps) // self._collector.users), CHUNK_LOCK_STEPS)
            chunk = self._collector.collect(length, self._random.distribution, self._rng)
            self._env_steps += len(chunk)
            if self._learn is not None:
                parts.append(chunk.transitions())
        if self._learn is not None:
            self._learn({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
        return episode_metrics(self._collector.take_finished())

    def policy(self) -> SlatePolicy:
        """Return the policy, which keeps learning."""
        return self._policy

    def get_state(self) -> dict[str, Any]:
        """Return users, random streams, counters and what was learned."""
        return {
            "env_steps": self._env_steps,
            "slates": self._rng.bit_generator.state,
            "users": self._collector.get_state(),
            "policy": self._policy.tensors(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """See `LocalTraining.set_state`."""
        self._policy.load_tensors(state["policy"])
        self._env_steps = state["env_steps"]
        self._rng.bit_generator.state = state["slates"]
        self._collector.set_state(state["users"])

    def stop(self) -> None:
        """Close the env."""
        self._collector.close()
