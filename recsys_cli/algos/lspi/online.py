"""LSPI by playing: rounds of play, a solution from all transitions kept, and play with it. Needs no Ray."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.algos.lspi.iteration import Columns, Iteration
from recsys_cli.algos.state_files import load_state, save_state
from recsys_cli.algos.training import Training, episode_metrics
from recsys_cli.policies import UniformPolicy
from recsys_cli.policies.exploration import Rule
from recsys_cli.rollouts.collector import Collector
from recsys_cli.rollouts.replay import CandidateRing, ReplayBuffer

if TYPE_CHECKING:
    from recsys_cli.algos.lspi.config import LSPIConfig
    from recsys_cli.config.schema import TrainConfig
    from recsys_cli.envs.base import EnvConfig
    from recsys_cli.policies.lspi import LSPIPolicy

CHUNK_LOCK_STEPS = 8


class OnlineLSPI(Training):
    """Plays, and iterates anew over all kept transitions when there are enough more of them."""

    def __init__(self, settings: LSPIConfig, run: TrainConfig, seed: int) -> None:
        """Make the users.

        Args:
            settings: of the algorithm.
            run: the problem, and the env steps per report.
            seed: of users, exploration and random features.
        """
        env_seed, slate_seed = (int(s) for s in np.random.SeedSequence(seed).generate_state(2))
        self._settings, self._env, self._report_every = settings, run.env, run.report_every
        spec = run.env.spec
        self._policy, self._design = settings.make_policy(spec, seed), settings.design(spec)
        # Few users: from many at a time, no session would end among the first steps.
        users = min(settings.users, run.resources.users_per_runner)
        self._collector = Collector(run.env, users, seed=env_seed)
        self._collector.remember(self._policy.new_memory(users))
        self._replay = ReplayBuffer(
            settings.replay_capacity, 1, seed=0, discount=self._design.discount, ring=CandidateRing
        )
        self._random = UniformPolicy(spec.slate_size)
        self._rng = np.random.Generator(np.random.SFC64(slate_seed))
        self._starts = max(min(settings.learning_starts, run.steps), 1)
        self._env_steps = self._solved_at = 0
        self._metrics: dict[str, float] = {}

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
        return self._env

    def step(self) -> dict[str, float]:
        """Play at least `report_every` env steps, solve whenever it is due, and return the episodes' means."""
        due = self._env_steps + self._report_every
        while self._env_steps < due:
            next_solution = self._next_solution()
            left = min(due, next_solution) - self._env_steps
            length = int(np.clip(-(-left // self._collector.users), 1, CHUNK_LOCK_STEPS))
            chunk = self._collector.collect(length, self._rule(), self._rng)
            self._env_steps += len(chunk)
            self._replay.add(chunk)
            if self._env_steps >= next_solution:
                self._solve()
        return {**episode_metrics(self._collector.take_finished()), **self._metrics}

    def _next_solution(self) -> int:
        """Return the env steps at which the next solution is due."""
        grown = int(self._solved_at * (1 + self._settings.growth)) + 1
        return grown if self._solved_at else self._starts

    def _rule(self) -> Rule:
        return self._policy.behaviour if self._solved_at or self._policy.keeps_basis else self._random.distribution

    def _solve(self) -> None:
        """Iterate over the kept transitions until the slates settle."""
        iteration, transitions = Iteration(self._policy, self._design), list(self._transitions())
        iteration.evaluate(transitions)
        while not iteration.over:
            iteration.improve(transitions)
        self._metrics = {**iteration.metrics(), **iteration.errors(transitions)}
        self._solved_at = self._env_steps

    def _transitions(self) -> Iterator[Columns]:
        """Yield all usable transitions; users stand for episodes, of which each plays many."""
        for ring in self._replay.rings.values():
            at = ring.usable()
            columns = ring.gather(at, self._design.discount)
            yield {**columns, "episode": at % ring.users, "terminated": columns["bootstrap"] == 0}

    def policy(self) -> LSPIPolicy:
        """Return the policy, which keeps learning."""
        return self._policy

    def start_from(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        """See `Training.start_from`; its slates are shown until there are values of its own."""
        super().start_from(tensors)
        self._policy.keeps_basis = True

    def save(self, folder: Path) -> None:
        """Write users, random streams, counters, transitions and what was learned."""
        save_state(folder, self._state())

    def _state(self) -> dict[str, Any]:
        return {
            "env_steps": self._env_steps,
            "solved_at": self._solved_at,
            "metrics": self._metrics,
            "slates": self._rng.bit_generator.state,
            "users": self._collector.get_state(),
            "replay": self._replay.get_state()["rings"].get(0),
            "policy": self._policy.tensors(),
            "keeps_basis": self._policy.keeps_basis,
        }

    def restore(self, folder: Path) -> None:
        """Continue from what `save` wrote.

        Raises:
            ConfigError: the folder holds no such state, or that of another policy.
        """
        state = load_state(folder)
        self._policy.load_tensors(state["policy"])
        self._policy.keeps_basis = state.get("keeps_basis", False)
        self._env_steps, self._solved_at, self._metrics = state["env_steps"], state["solved_at"], state["metrics"]
        self._rng.bit_generator.state = state["slates"]
        self._collector.set_state(state["users"])
        if state["replay"] is not None:
            self._replay.rings = {0: CandidateRing(**state["replay"])}

    def stop(self) -> None:
        """Close the env."""
        self._collector.close()
