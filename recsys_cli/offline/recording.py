"""Recording: a policy plays users, and what it showed and what came of it becomes a data set."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.envs.base import EnvConfig
from recsys_cli.envs.finite import require_finite_step
from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.offline.dataset import Dataset
from recsys_cli.offline.layout import RESPONSE, dtypes
from recsys_cli.offline.steps import Steps
from recsys_cli.offline.writer import Writer
from recsys_cli.policies import SlatePolicy
from recsys_cli.rollouts.chunk import clicked_position
from recsys_cli.rollouts.episodes import MAX_LOCKSTEP_USERS, one_thread

ROUND_BYTES = 256 << 20  # of a round's rows, as far as its size can be known before it is played
USUAL_LENGTH = 200  # steps of an episode on a problem that has no horizon
OBSERVED = ("user", "doc", "mask")
NOTHING = {"slate": -1}  # what columns hold in rows that are no steps; others 0


def record(
    writer: Writer,
    policy: SlatePolicy,
    env: EnvConfig,
    *,
    episodes: int,
    seed: int,
    finished: Callable[[int], None] = lambda episodes: None,
) -> Dataset:
    """Play one episode with each of `episodes` fresh users, and write those that are not written yet.

    Users play in rounds of whole episodes, one part each. A round depends on its number and the seed alone, so that
    the parts are the same however often the writer was killed.

    Args:
        writer: of the data set.
        policy: shows the slates that its `distribution` draws.
        env: the problem.
        episodes: how many in all.
        seed: of users and slates.
        finished: gets the number of episodes that ended, after every step; first, of those written before.

    Raises:
        FloatingPointError: the simulator returned something that is not finite.
    """
    rounds = rounds_of(env.spec, episodes)
    finished(writer.episodes)
    with one_thread():
        for number in range(len(writer.parts), len(rounds)):
            steps = play_round(policy, env, rounds[number], seed, number, finished)
            steps.episode += sum(rounds[:number])
            writer.write(steps)
    return writer.finish()


def rounds_of(spec: ProblemSpec, episodes: int) -> list[int]:
    """Return the episodes of each round: of about the same size, and no larger than fits into memory."""
    responses = len(spec.response) * spec.slate_size * 4
    row = spec.observation_bytes + spec.slate_size * 12 + responses + 40
    length = min(spec.truncation or spec.horizon or USUAL_LENGTH, USUAL_LENGTH)
    at_once = min(max(ROUND_BYTES // (row * length), 1), MAX_LOCKSTEP_USERS)
    return [int(size) for size in np.diff(np.linspace(0, episodes, math.ceil(episodes / at_once) + 1).astype(int))]


def play_round(
    policy: SlatePolicy,
    env: EnvConfig,
    users: int,
    seed: int,
    number: int,
    finished: Callable[[int], None] = lambda episodes: None,
) -> Steps:
    """Play one episode with each of `users` fresh users; each is counted once, however long its session.

    Args:
        policy: shows the slates that its `distribution` draws.
        env: the problem.
        users: in lock-step, numbered as the episodes are.
        seed: of the recording.
        number: the round's, which with `seed` decides what happens.
        finished: gets the number of episodes that ended, after every step.
    """
    vec = env.make_vec(users, doc_format=env.spec.documents.compact)
    rng = np.random.Generator(np.random.SFC64([seed, number, 1]))
    try:
        policy.watch(vec)
        observation, _ = vec.reset(seed=int(np.random.SeedSequence([seed, number]).generate_state(1)[0]))
        require_finite_step(0, observation)
        memory, frames, length = policy.new_memory(users), list[_Frame](), np.zeros(users, np.int64)
        playing, truncated = np.ones(users, bool), np.zeros(users, bool)
        while playing.any():
            known = memory.extend(observation)
            law = policy.distribution(known)
            slates = law.sample(rng)
            following, reward, terminated, cut, _ = vec.step(slates)
            require_finite_step(len(frames) + 1, following, reward)
            memory.step(known, slates, following, ~playing)
            response = following["response"]
            frames.append(_observed(observation) | _what_came(response, env.spec) | {"slate": slates, "reward": reward})
            if law.exact:
                frames[-1]["log_propensity"] = law.position_log_prob(slates)
            length += playing
            ended = playing & (terminated | cut)
            truncated |= ended & cut & ~terminated
            playing &= ~ended
            finished(int(ended.sum()))
            observation = following
        return _by_episode([*frames, _observed(observation)], length, truncated, env.spec)
    finally:
        vec.close()


_Frame = dict[str, NDArray[Any]]
"""Columns of one lock-step of N users, `[N, ...]` each."""


def _observed(observation: Mapping[str, Any]) -> _Frame:
    return {name: observation[name] for name in OBSERVED if name in observation}


def _what_came(response: Mapping[str, Any], spec: ProblemSpec) -> _Frame:
    """Return the position clicked, and the fields that do not follow from it."""
    several = spec.choice.kind == "unknown"  # a known model chooses one document at most
    fields = {f"{RESPONSE}{name}": values for name, values in response.items() if several or name != "click"}
    return {"clicked": clicked_position(response["click"]), **fields}


def _by_episode(frames: list[_Frame], length: NDArray[np.int64], truncated: NDArray[np.bool_], spec: Any) -> Steps:
    """Return the rows sorted by user and step; a truncated user's last one is an observation alone.

    Args:
        frames: one a lock-step, and the observation that follows the last.
        length: steps of each user, `[N]`.
        truncated: whose episode was truncated and not terminated, `[N]`.
        spec: the problem.
    """
    extent = length + truncated
    first = np.cumsum(extent) - extent
    rows, types = int(extent.sum()), dtypes(spec)
    arrays: dict[str, Any] = {name: np.empty((rows, *types[name][1]), types[name][0]) for name in frames[0]}
    for t, frame in enumerate(frames):
        there = np.flatnonzero(extent > t)
        for name, values in frame.items():
            arrays[name][first[there] + t] = values[there]
    ends = first + extent - 1
    valid, terminated, cut = np.ones(rows, bool), np.zeros(rows, bool), np.zeros(rows, bool)
    valid[ends[truncated]] = False
    cut[ends[truncated] - 1] = True
    terminated[ends[~truncated]] = True
    for name, values in arrays.items():
        if name not in OBSERVED:
            values[~valid] = NOTHING.get(name, 0)
    arrays["clicked"][~valid] = spec.slate_size
    response = {name.removeprefix(RESPONSE): arrays.pop(name) for name in list(arrays) if name.startswith(RESPONSE)}
    episode = np.repeat(np.arange(len(extent)), extent)
    step = (np.arange(rows) - first[episode]).astype(np.int32)
    return Steps(
        episode=episode, step=step, **arrays, response=response, terminated=terminated, truncated=cut, valid=valid
    )
