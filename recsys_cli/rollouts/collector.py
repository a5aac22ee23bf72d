"""Collecting experience: N users in lock-step, cut into time-major chunks. Needs no Ray."""

from __future__ import annotations

from typing import Any

import numpy as np

from recsys_cli.envs.base import EnvConfig
from recsys_cli.envs.finite import require_finite_step
from recsys_cli.policies.exploration import Rule
from recsys_cli.policies.memory import Memory
from recsys_cli.rollouts.chunk import Chunk, clicked_position, position_dtype
from recsys_cli.rollouts.episodes import Episodes, EpisodeSums, concatenate

OBSERVED = ("user", "doc", "memory", "mask")  # parts of observations kept in a chunk


def first_cuts(users: int, episode_steps: int | None) -> np.ndarray:
    """Return after how many lock-steps each user's first episode is truncated, `[users]`; 0: not at all.

    If all episodes have the same length, users who begin together always end together: with a policy that changes
    during an episode, slates would look good or bad merely because they were shown early or late. The cuts spread the
    ends over all lock-steps.

    Args:
        users: number of users in lock-step.
        episode_steps: length of the longest episode, which most have; None if nothing bounds it.
    """
    return np.arange(users) * (episode_steps or 0) // users


class Collector:
    """Plays the same N users continuously, and keeps the totals of their finished episodes."""

    def __init__(self, problem: EnvConfig, users: int, *, seed: int, stream: int = 0) -> None:
        """Make the users.

        Args:
            problem: to be played.
            users: N.
            seed: of the env; every `reset` takes the next one.
            stream: number carried by the chunks (see `Chunk`).
        """
        self.problem, self.users, self.stream = problem, users, stream
        self.env = problem.make_vec(users, doc_format=problem.spec.documents.compact)
        self.env_seed = seed
        self.memory = Memory()
        self.steps_done = 0  # lock-steps
        self.observation: dict[str, Any] | None = None
        self.finished: list[Episodes] = []

    def remember(self, memory: Memory) -> None:
        """Extend observations by a memory from now on; it knows sessions in progress only from here."""
        self.memory = memory

    def reset(self) -> dict[str, Any]:
        """Begin new episodes; the chunk that follows does not continue the last one."""
        self.env_seed += 1
        observation, _ = self.env.reset(seed=self.env_seed)
        require_finite_step(self.steps_done, observation)
        self.memory.restart()
        self.sums, self.starting = EpisodeSums(self.users), np.zeros(self.users, bool)
        self.steps_done += 1
        self.cut_at = self.steps_done + first_cuts(self.users, self.problem.spec.horizon)
        self.observation = observation
        return observation

    def collect(
        self,
        length: int,
        rule: Rule,
        rng: np.random.Generator,
        *,
        propensities: bool = False,
        responses: bool = False,
    ) -> Chunk:
        """Play `length` lock-steps.

        Args:
            length: number of lock-steps.
            rule: from an observation to a distribution over slates.
            rng: random stream of the draws.
            propensities: whether to keep the log-probabilities of the drawn slates.
            responses: whether to keep the whole responses.

        Raises:
            FloatingPointError: the simulator returned something that is not finite.
        """
        observation = self.reset() if self.observation is None else self.observation
        chunk = self._empty_chunk(length, self.memory.extend(observation), propensities)
        kept = [(array, name) for name in OBSERVED if (array := getattr(chunk, name)) is not None]
        if responses:
            chunk.response = {
                name: np.empty((length, *values.shape), values.dtype)
                for name, values in observation["response"].items()
            }
        for t in range(length):
            known = self.memory.extend(observation)
            law = rule(known)
            if chunk.log_propensity is not None and law.exact:
                slates, chunk.log_propensity[t] = law.draw(rng)
            else:
                slates = law.sample(rng)
            for array, name in kept:
                array[t] = known[name]
            chunk.slate[t] = slates
            observation, reward, terminated, truncated, _ = self.env.step(slates)
            require_finite_step(self.steps_done + 1, observation, reward)
            self.memory.step(known, slates, observation, self.starting)
            if chunk.evidence is not None:
                chunk.evidence[t] = self.memory.evidence
            response = observation["response"]
            chunk.reward[t], chunk.valid[t] = reward, ~self.starting
            chunk.terminated[t], chunk.truncated[t] = terminated, truncated
            chunk.clicked[t] = clicked_position(response["click"])
            for name, array in (chunk.response or {}).items():
                array[t] = response[name]
            self.sums.add(response, reward, chunk.valid[t])
            self.starting = terminated | truncated
            if self.starting.any():
                self.finished.append(self.sums.take(np.flatnonzero(self.starting)))
            self.steps_done += 1
            chunk.truncated[t, self._cut()] = True
        self.observation = observation
        return chunk

    def newest(self) -> dict[str, Any]:
        """Return the observation after the last step, extended by the memory."""
        return self.memory.extend(self.reset() if self.observation is None else self.observation)

    def _cut(self) -> np.ndarray:
        """Truncate the first episodes that are due and return their users; these episodes do not count as finished."""
        due = np.flatnonzero((self.cut_at == self.steps_done) & ~self.starting)
        if due.size:
            self.env.truncate(due)
            self.sums.take(due)
            self.starting[due] = True
        return due

    def _empty_chunk(self, length: int, observation: dict[str, Any], propensities: bool) -> Chunk:
        shape = (length, self.users)
        spec = self.problem.spec
        k, dtype = spec.slate_size, np.int16 if spec.varying else np.uint8 if spec.width <= 256 else np.int32
        observed: dict[str, Any] = {
            name: np.empty((*shape, *observation[name].shape[1:]), observation[name].dtype)
            for name in OBSERVED
            if name in observation
        }
        evidence = self.memory.evidence
        return Chunk(
            **observed,
            evidence=None if evidence is None else np.empty((length, *evidence.shape), np.float32),
            slate=np.empty((*shape, k), dtype),
            clicked=np.empty(shape, position_dtype(k)),
            reward=np.empty(shape, np.float32),
            terminated=np.empty(shape, bool),
            truncated=np.empty(shape, bool),
            valid=np.empty(shape, bool),
            log_propensity=np.full(shape, np.nan, np.float32) if propensities else None,
            stream=self.stream,
            start=self.steps_done,
        )

    def take_finished(self) -> Episodes | None:
        """Return the episodes that ended since the last call, if any."""
        finished, self.finished = self.finished, []
        return concatenate(finished) if finished else None

    def get_state(self) -> dict[str, Any]:
        """Return counters and, if the env can save them, the users' states; not the finished episodes."""
        state: dict[str, Any] = {"env_seed": self.env_seed, "steps_done": self.steps_done}
        env = self.env.get_state() if self.observation is not None else None
        if env is not None:
            sums = {name: total.copy() for name, total in self.sums.sums.items()}
            state |= {"env": env, "observation": self.observation, "starting": self.starting, "sums": sums}
            state |= {"seen": sorted(self.sums.seen), "memory": self.memory.get_state(), "cut_at": self.cut_at}
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore the state; users that could not be saved (recsim's) begin new episodes."""
        self.env_seed, self.steps_done = state["env_seed"], state["steps_done"]
        if "env" not in state:
            self.observation = None
            return
        self.env.reset(seed=self.env_seed)
        self.env.set_state(state["env"])
        self.observation, self.starting = state["observation"], state["starting"]
        self.cut_at = state["cut_at"]
        self.memory.set_state(state["memory"])
        self.sums = EpisodeSums(self.users)
        self.sums.sums, self.sums.seen = state["sums"], set(state["seen"])

    def close(self) -> None:
        """Close the env."""
        self.env.close()
