"""Whole episodes: play a policy for a fixed number of fresh users and keep each one's totals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from recsys_cli.envs.base import EnvConfig, SlateVectorEnv
from recsys_cli.envs.finite import require_finite_step
from recsys_cli.policies import SlatePolicy
from recsys_cli.policies.base import Observation

MAX_LOCKSTEP_USERS = 2048
MAX_LOCKSTEP_DOCUMENTS = 1 << 21  # candidates of all users: a policy's numbers for them should stay in the cache


@dataclass
class Episodes:
    """One entry per episode.

    Attributes:
        returns: summed rewards.
        lengths: env steps.
        clicks: clicks.
        watch_time: summed watch time; None if the problem has none.
        quality: summed quality of clicked documents; None if the problem has none.
        group: the users' groups; None if there are none, or if they were not noted.
    """

    returns: np.ndarray
    lengths: np.ndarray
    clicks: np.ndarray
    watch_time: np.ndarray | None
    quality: np.ndarray | None
    group: np.ndarray | None = None

    def __len__(self) -> int:
        """Return the number of episodes."""
        return len(self.returns)

    def summary(self) -> dict[str, float]:
        """Return means over episodes: return, length, clicks per step, watch time, quality per click."""
        means = {
            "return": float(self.returns.mean()),
            "episode_length": float(self.lengths.mean()),
            "clicks_per_step": float(self.clicks.sum() / self.lengths.sum()),
        }
        if self.watch_time is not None:
            means["watch_time"] = float(self.watch_time.mean())
        if self.quality is not None:
            means["quality_per_click"] = float(self.quality.sum() / max(self.clicks.sum(), 1))
        return means

    def by_group(self) -> dict[str, Episodes]:
        """Return each group's episodes."""
        if self.group is None:
            return {}
        columns: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}

        def of(name: str) -> Episodes:
            rows = self.group == name
            own: dict[str, Any] = {key: None if column is None else column[rows] for key, column in columns.items()}
            return Episodes(**(own | {"group": None}))

        return {str(name): of(name) for name in np.unique(self.group)}

    def summaries(self) -> dict[str, float]:
        """Return `summary`, and each group's under `<group>/<name>`."""
        groups = {name: episodes.summary() for name, episodes in self.by_group().items()}
        return self.summary() | {f"{name}/{key}": mean for name, of in groups.items() for key, mean in of.items()}


class EpisodeSums:
    """Running sums of N users' episodes in lock-step."""

    def __init__(self, num_users: int) -> None:
        """Start at zero."""
        self.sums = {name: np.zeros(num_users) for name in ("reward", "steps", "click", "watch_time", "quality")}
        self.seen: set[str] = set()

    def add(self, response: dict[str, np.ndarray], reward: np.ndarray, playing: np.ndarray) -> None:
        """Add one step of the users that are `playing` (bool [N])."""
        self.sums["reward"] += reward * playing
        self.sums["steps"] += playing
        clicks = response["click"]
        for name in ("click", "watch_time", "quality"):
            if name in response:
                self.seen.add(name)
                value = clicks if name == "click" else response[name] * clicks
                self.sums[name] += value.sum(-1) * playing

    def take(self, users: np.ndarray) -> Episodes:
        """Return the sums of these users and set them back to zero."""
        taken = {name: total[users].copy() for name, total in self.sums.items()}
        for total in self.sums.values():
            total[users] = 0.0
        optional = {name: taken[name] if name in self.seen else None for name in ("watch_time", "quality")}
        return Episodes(taken["reward"], taken["steps"], taken["click"], **optional)


def concatenate(parts: list[Episodes]) -> Episodes:
    """Join episodes."""
    joined: dict[str, Any] = {}
    for name in (each.name for each in fields(Episodes)):
        arrays = [getattr(part, name) for part in parts]
        joined[name] = None if any(array is None for array in arrays) else np.concatenate(arrays)
    return Episodes(**joined)


def play(
    policy: SlatePolicy, env: EnvConfig, users: int, seed: int, finished: Callable[[int], None] = lambda users: None
) -> Episodes:
    """Play one episode with each of `users` fresh users, as the policy is served.

    Every user counts exactly once: taking the first finished episodes would favour short ones.

    Args:
        policy: the policy.
        env: the problem.
        users: number of episodes.
        seed: of the users.
        finished: gets the number of episodes that ended, after every step.

    Raises:
        FloatingPointError: the simulator returned something that is not finite.
    """
    at_once = max(min(MAX_LOCKSTEP_DOCUMENTS // env.spec.width, MAX_LOCKSTEP_USERS), 1)
    parts, rounds = [], -(-users // at_once)
    rng = np.random.Generator(np.random.SFC64([seed, 1]))  # not the users' own stream
    with one_thread():
        for i, size in enumerate(np.diff(np.linspace(0, users, rounds + 1).astype(int))):
            vec = env.make_vec(int(size), doc_format=env.spec.documents.compact)
            parts.append(play_together(policy, vec, seed + i, rng, finished=finished))
    return concatenate(parts)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch compute in one thread: on a busy machine several wait for each other ten times as long as they work.

    A step is thousands of small rows; its results do not depend on the number of threads.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def play_together(
    policy: SlatePolicy,
    vec: SlateVectorEnv,
    seed: int,
    rng: np.random.Generator,
    *,
    finished: Callable[[int], None] = lambda users: None,
    seen: Callable[[Observation, NDArray[np.bool_]], None] = lambda observation, playing: None,
) -> Episodes:
    """Play one episode with each user of an env, in lock-step, and close it.

    Args:
        policy: the policy.
        vec: the users, whose order the episodes have.
        seed: of the users.
        rng: of slates that the policy draws.
        finished: gets the number of episodes that ended, after every step.
        seen: gets what the policy sees, before every step, and which users still play `[N]`.

    Raises:
        FloatingPointError: the simulator returned something that is not finite.
    """
    try:
        users = vec.num_envs
        policy.watch(vec)
        observation, _ = vec.reset(seed=seed)
        require_finite_step(0, observation)
        sums, playing, memory, step = EpisodeSums(users), np.ones(users, bool), policy.new_memory(users), 0
        while playing.any():
            known = memory.extend(observation)
            seen(known, playing)
            slates = policy.served(known).sample(rng)
            before = observation
            observation, reward, terminated, truncated, _ = vec.step(slates)
            step += 1
            require_finite_step(step, observation, reward)
            memory.step(before, slates, observation, ~playing)
            sums.add(observation["response"], reward, playing)
            ended = playing & (terminated | truncated)
            playing &= ~ended
            finished(int(ended.sum()))
        return replace(sums.take(np.arange(users)), group=vec.group)
    finally:
        vec.close()
