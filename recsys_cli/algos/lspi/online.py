"""LSPI by playing: rounds of play, a solution from all transitions kept, and play with it. Needs no Ray."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.algos.local_training import LocalTraining
from recsys_cli.algos.lspi.iteration import Iteration, joined
from recsys_cli.algos.lspi.played import Played
from recsys_cli.algos.training import episode_metrics
from recsys_cli.policies import UniformPolicy
from recsys_cli.policies.exploration import Rule
from recsys_cli.rollouts.collector import Collector

if TYPE_CHECKING:
    from recsys_cli.algos.lspi.config import LSPIConfig
    from recsys_cli.config.schema import TrainConfig
    from recsys_cli.envs.base import EnvConfig
    from recsys_cli.policies.lspi import LSPIPolicy

CHUNK_LOCK_STEPS = 8
LONG_PLAYED = 400  # steps that each user has played when there are to be more users: some sessions
MORE_USERS = 4  # times as many: a lock-step takes hardly longer


class OnlineLSPI(LocalTraining):
    """Plays, and iterates anew over all kept transitions when there are enough more of them."""

    def __init__(self, settings: LSPIConfig, run: TrainConfig, seed: int) -> None:
        """Make the users.

        Args:
            settings: of the algorithm.
            run: the problem, and the env steps per report.
            seed: of users, exploration and random features.
        """
        self._settings, self._run, self._seed = settings, run, seed
        spec = run.env.spec
        self._policy, self._design = settings.make_policy(spec, seed), settings.design(spec)
        # Few users at first: from many at a time, no session would end among the first steps.
        self._collector = self._players(min(settings.users, run.resources.users_per_runner), stream=0)
        self._played = Played(settings.replay_capacity)
        self._random = UniformPolicy(spec.slate_size)
        self._rng = np.random.Generator(np.random.SFC64([seed, 1]))
        self._starts = max(min(settings.learning_starts, run.steps), 1)
        self._env_steps = self._solved_at = 0
        self._metrics: dict[str, float] = {}

    def _players(self, users: int, stream: int) -> Collector:
        """Return fresh users."""
        seed = int(np.random.SeedSequence([self._seed, stream]).generate_state(1)[0])
        collector = Collector(self._run.env, users, seed=seed, stream=stream)
        collector.remember(self._policy.new_memory(users))
        return collector

    @classmethod
    def of_run(cls, settings: LSPIConfig, run: TrainConfig, seed: int) -> OnlineLSPI:
        """Build a training of a run's problem with these settings."""
        return cls(settings, run, seed)

    @property
    def steps(self) -> int:
        """Env steps played so far."""
        return self._env_steps

    @property
    def env(self) -> EnvConfig:
        """The problem."""
        return self._run.env

    def step(self) -> dict[str, float]:
        """Play at least `report_every` env steps, solve whenever it is due, and return the episodes' means."""
        due = self._env_steps + self._run.report_every
        if self._env_steps < self._run.steps:
            due = min(due, self._run.steps)
        while self._env_steps < due:
            next_solution = self._next_solution()
            left = min(due, next_solution) - self._env_steps
            length = int(np.clip(-(-left // self._collector.users), 1, CHUNK_LOCK_STEPS))
            chunk = self._collector.collect(length, self._rule(), self._rng)
            self._env_steps += len(chunk)
            self._played.add(chunk)
            if self._env_steps >= next_solution and len(self._played):
                self._solve(due)
            self._play_with_more()
        return {**episode_metrics(self._collector.take_finished()), **self._metrics}

    def _next_solution(self) -> int:
        """Return the env steps at which the next solution is due: the last step at the latest."""
        grown = int(self._solved_at * (1 + self._settings.growth)) + 1 if self._solved_at else self._starts
        return min(grown, self._run.steps) if self._env_steps < self._run.steps else grown

    def _rule(self) -> Rule:
        return self._policy.behaviour if self._solved_at or self._policy.keeps_basis else self._random.distribution

    def _play_with_more(self) -> None:
        """Let more users play once they have played for long; sessions in progress are left."""
        now = self._collector
        users = min(MORE_USERS * now.users, self._run.resources.users_per_runner)
        if self._env_steps >= LONG_PLAYED * now.users and users > now.users:
            self._collector = self._players(users, now.stream + 1)
            self._collector.finished = now.finished
            now.close()

    def _solve(self, due: int) -> None:
        """Iterate over the kept transitions until the slates settle.

        Args:
            due: env steps of the next report.
        """
        iteration = Iteration(self._policy, self._design)
        transitions = list(self._played.transitions(self._design.discount))
        iteration.begin(joined(transitions))
        iteration.evaluate(transitions)
        while not iteration.over:
            iteration.improve(transitions)
        self._metrics, self._solved_at = iteration.metrics(), self._env_steps
        if self._next_solution() > due:  # else nobody sees it, and it is as much work as a round
            self._metrics |= iteration.errors(transitions)

    def policy(self) -> LSPIPolicy:
        """Return the policy, which keeps learning."""
        return self._policy

    def start_from(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        """See `Training.start_from`; its slates are shown until there are values of its own."""
        super().start_from(tensors)
        self._policy.keeps_basis = True

    def get_state(self) -> dict[str, Any]:
        """Return users, random streams, counters, transitions and what was learned."""
        return {
            "env_steps": self._env_steps,
            "solved_at": self._solved_at,
            "metrics": self._metrics,
            "slates": self._rng.bit_generator.state,
            "users": self._collector.users,
            "stream": self._collector.stream,
            "collector": self._collector.get_state(),
            "played": self._played.get_state(),
            "policy": self._policy.tensors(),
            "keeps_basis": self._policy.keeps_basis,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """See `LocalTraining.set_state`."""
        self._policy.load_tensors(state["policy"])
        self._policy.keeps_basis = state.get("keeps_basis", False)
        self._env_steps, self._solved_at, self._metrics = state["env_steps"], state["solved_at"], state["metrics"]
        self._rng.bit_generator.state = state["slates"]
        self._collector.close()
        self._collector = self._players(state["users"], state["stream"])
        self._collector.set_state(state["collector"])
        self._played.set_state(state["played"])

    def stop(self) -> None:
        """Close the env."""
        self._collector.close()
