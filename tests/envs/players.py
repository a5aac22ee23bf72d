"""Short episodes under random slates, for the tests of the interface."""

from __future__ import annotations

from typing import Any

from gymnasium.utils.env_checker import data_equivalence

from recsys_cli.config.structured import load
from recsys_cli.envs.vector import SlateVectorEnv

SHORT = {
    "interest_evolution": {"time_budget": 6.0},
    "interest_exploration": {"horizon": 5},
    "long_term_satisfaction": {"time_budget": 5},
    "groups": {"groups": {name: {"env": "interest_evolution", "time_budget": 6.0} for name in ("young", "old")}},
    "embedding_feed": {"time_budget": 4.0, "slate_size": 2},
    "learned_users": {"slate_size": 2},
}


def users(problem: str, num_envs: int = 6, doc_format: str = "dense", **overrides: Any) -> SlateVectorEnv:
    """Build users whose episodes are short."""
    return load("env", problem, **{**SHORT.get(problem, {}), **overrides}).make_vec(num_envs, doc_format=doc_format)


def trajectory(env: SlateVectorEnv, steps: int, seed: int = 5) -> list[Any]:
    """Return what `steps` random slates bring."""
    env.action_space.seed(seed)
    return [env.step(env.action_space.sample()) for _ in range(steps)]


def same(left: Any, right: Any) -> bool:
    return data_equivalence(left, right, exact=True)


def reset_and_play(env: SlateVectorEnv, steps: int, seed: int = 1) -> list[Any]:
    env.reset(seed=seed)
    return trajectory(env, steps)
