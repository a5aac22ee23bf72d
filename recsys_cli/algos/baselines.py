"""Baselines ready to play, for comparison with an agent."""

from __future__ import annotations

import dataclasses

import numpy as np

from recsys_cli.algos.base import AlgoConfig
from recsys_cli.config.structured import load
from recsys_cli.envs.base import NATIVE, EnvConfig
from recsys_cli.envs.groups import GroupsConfig
from recsys_cli.policies import SlatePolicy, UniformPolicy
from recsys_cli.policies.myopic import MyopicPolicy
from recsys_cli.policies.oracle import problems_of, problems_with_oracle
from recsys_cli.policies.routed import RoutedPolicy
from recsys_cli.rollouts.collector import Collector

ORACLE_CANDIDATES = 2_000  # beyond, an oracle takes many minutes: it looks at every candidate, and plans by playing
FIT_USERS = 256
FIT_LOCK_STEPS = 160  # 40,000 env steps


def has_oracle(env: EnvConfig) -> bool:
    """Whether an oracle is played beside others; groups of users need to be told apart, and one each."""
    return all(name in problems_with_oracle() for name in problems_of(env.spec)) and not too_large_for_oracle(env)


def too_large_for_oracle(env: EnvConfig) -> str:
    """Return a line that says so if the candidates are too many for the oracle, else nothing."""
    if env.spec.width <= ORACLE_CANDIDATES:
        return ""
    return f"no oracle: it would play for many minutes; one is played up to env.num_candidates={ORACLE_CANDIDATES:,}"


def fitted_baseline(name: str, env: EnvConfig, seed: int) -> SlatePolicy:
    """Build a baseline, fitted on random slates if it learns.

    Args:
        name: `random`, `myopic` or `oracle`; of groups of users that can be told apart, each has its own.
        env: the problem; learning uses its native back end, which is equal in distribution.
        seed: of the policy's random stream and of the users learned from.

    Raises:
        ConfigError: the problem has no oracle.
    """
    if name == "myopic" and isinstance(env, GroupsConfig) and env.group_observed:
        return RoutedPolicy({group: fitted_baseline(name, part.env, seed) for group, part in env.parts.items()})
    algo: AlgoConfig = load("algo", name)
    policy = algo.make_policy(env.spec, seed)
    if isinstance(policy, MyopicPolicy) and policy.learns:
        collector = Collector(dataclasses.replace(env, backend=NATIVE), FIT_USERS, seed=seed)
        rng = np.random.Generator(np.random.SFC64(seed))
        chunk = collector.collect(FIT_LOCK_STEPS, UniformPolicy(env.slate_size).distribution, rng)
        policy.learn(chunk.transitions())
        collector.close()
    return policy
