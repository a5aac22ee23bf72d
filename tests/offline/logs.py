"""Logs for tests: users played in lock-step, one whole episode each."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recsys_cli.envs.base import EnvConfig
from recsys_cli.offline.steps import Steps
from recsys_cli.offline.writer import Writer
from recsys_cli.policies import SlatePolicy, UniformPolicy


def played(env: EnvConfig, users: int, seed: int = 0, policy: SlatePolicy | None = None) -> Steps:
    """Return one whole episode of each user, with the policy's memory as it was kept while playing."""
    policy = policy or UniformPolicy(env.slate_size)
    rng = np.random.default_rng(seed)
    vec = env.make_vec(users, doc_format=env.spec.documents.compact)
    observation, _ = vec.reset(seed=seed)
    memory, playing, rows = policy.new_memory(users), np.ones(users, bool), []
    nothing = {"slate": np.full((users, env.slate_size), -1), "clicked": np.full(users, env.slate_size)}
    for step in range(10_000):
        known = memory.extend(observation)
        law = policy.distribution(known)
        slates = law.sample(rng)
        before, (observation, reward, terminated, truncated, _) = observation, vec.step(slates)
        memory.step(before, slates, observation, ~playing)
        response = dict(observation["response"])
        click = response.pop("click")
        row = {
            **{name: known[name] for name in ("user", "doc", "mask", "memory") if name in known},
            "episode": np.arange(users),
            "step": np.full(users, step),
            "slate": slates,
            "log_propensity": law.position_log_prob(slates).astype(np.float32),
            "clicked": np.where(click.any(-1), click.argmax(-1), env.slate_size),
            "reward": reward.astype(np.float32),
            "terminated": terminated,
            "truncated": truncated,
            "valid": np.ones(users, bool),
            "response": response,
        }
        rows.append(_taken(row, playing))
        cut = playing & truncated
        after = {name: value for name, value in memory.extend(observation).items() if name != "response"}
        zeros = {name: np.zeros_like(values) for name, values in response.items()}
        more = {"step": row["step"] + 1, "reward": 0 * row["reward"], "log_propensity": 0 * row["log_propensity"]}
        flags = {name: np.zeros(users, bool) for name in ("terminated", "truncated", "valid")}
        rows.append(_taken({**row, **after, **nothing, **more, **flags, "response": zeros}, cut))
        playing &= ~(terminated | truncated)
        if not playing.any():
            break
    vec.close()
    return _sorted(rows)


def log_of(env: EnvConfig, folder: Path, users: int = 30) -> Path:
    """Write a data set of so many users who saw random slates, and return its folder."""
    writer = Writer(folder, env.spec, {"behaviour": "random"})
    writer.write(played(env, users))
    return writer.finish().folder


def _taken(row: dict, which: np.ndarray) -> dict:
    response = {name: values[which] for name, values in row["response"].items()}
    return {name: values[which] for name, values in row.items() if name != "response"} | {"response": response}


def _sorted(rows: list[dict]) -> Steps:
    names = [name for name in rows[0] if name != "response"]
    columns = {name: np.concatenate([row[name] for row in rows]) for name in names}
    response = {name: np.concatenate([row["response"][name] for row in rows]) for name in rows[0]["response"]}
    return Steps(**columns, response=response).take(np.lexsort((columns["step"], columns["episode"])))
