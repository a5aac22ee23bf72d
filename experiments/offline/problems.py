"""The problems, the policies that log them, and the policies that are judged from the logs. Needs no Ray."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from recsys_cli.algos.lspi.iteration import Iteration
from recsys_cli.config.compose import compose
from recsys_cli.config.explore import Explore
from recsys_cli.config.schema import TrainConfig
from recsys_cli.envs.base import EnvConfig
from recsys_cli.offline.recording import play_round
from recsys_cli.offline.steps import Steps
from recsys_cli.policies import SlatePolicy
from recsys_cli.policies.exploration import ExploringPolicy

HALF_TRAINED = Path(__file__).parent / "behaviours"

PROBLEMS = {  # words behind `recsys train`
    "evolution_3": ("env=interest_evolution", "env.slate_size=3"),
    "evolution_2": ("env=interest_evolution",),
    "satisfaction": ("env=long_term_satisfaction",),
    "exploration": ("env=interest_exploration",),
}
TITLES = {
    "evolution_3": "interest evolution 10/3",
    "evolution_2": "interest evolution 10/2",
    "satisfaction": "long-term satisfaction 10/2",
    "exploration": "interest exploration 10/2",
}
# Steps of half-trained SlateQ's training, about half-way from random to what it reaches.
HALF_STEPS = {"evolution_3": 62_000, "evolution_2": 70_000, "satisfaction": 20_000, "exploration": 20_000}
# Temperatures at which the softened policies still try every slate.
TEMPERATURES = {
    "myopic": {"evolution_3": 0.33, "evolution_2": 0.33, "satisfaction": 1.0, "exploration": 0.05},
    "half": {"evolution_3": 1.0, "evolution_2": 1.0, "satisfaction": 3.0, "exploration": 0.03},
}
BEHAVIOURS = {
    "random": "random slates",
    "myopic soft": "myopic, softened",
    "half soft": "half-trained SlateQ, softened",
    "half": "half-trained SlateQ, deterministic",
}
TARGETS = ("random", "myopic", "half soft", "half", "lspi")
FITTED_SESSIONS, FITTED_SEED = 150, 2_000_000  # of the random log that myopic and LSPI targets are fitted to


def composed(problem: str, *words: str) -> TrainConfig:
    """Return the config of a training on a problem."""
    run: TrainConfig = compose("train", [*PROBLEMS[problem], *words])
    return run


@cache
def env_of(problem: str) -> EnvConfig:
    """Return a problem."""
    env: EnvConfig = composed(problem, "algo=random").env
    return env


@cache
def policy_of(problem: str, name: str) -> SlatePolicy:
    """Return a policy that depends on no log of the experiment, as it is served.

    Args:
        problem: of `PROBLEMS`.
        name: of `TARGETS` or `BEHAVIOURS`.
    """
    if name.endswith(" soft"):
        of = name.removesuffix(" soft")
        return ExploringPolicy(policy_of(problem, of), Explore("plackett_luce", TEMPERATURES[of][problem]))
    algo = composed(problem, f"algo={'slateq' if name == 'half' else name}").algo
    policy: Any = algo.make_policy(env_of(problem).spec)
    if name == "half":
        policy.load_tensors(load_file(HALF_TRAINED / f"{problem}.safetensors"))
    elif name == "lspi":
        iterate(Iteration(policy, algo.design(env_of(problem).spec)), random_log(problem))
    elif getattr(policy, "learns", False):
        policy.learn(random_log(problem).transitions())
    return policy


@cache
def random_log(problem: str) -> Steps:
    """Return the log of random slates that targets are fitted to."""
    env = env_of(problem)
    return play_round(policy_of(problem, "random"), env, FITTED_SESSIONS, FITTED_SEED, 0)


def iterate(iteration: Iteration, steps: Steps) -> None:
    """Iterate over all of a log until the slates settle."""
    transitions = [steps.remembering(iteration.policy.new_memory).transitions(iteration.design.discount)]
    iteration.evaluate(transitions)
    while not iteration.over:
        iteration.improve(transitions)


def log_of(problem: str, behaviour: str, episodes: int, seed: int) -> Steps:
    """Return a log in memory, drawn anew for every seed."""
    return play_round(policy_of(problem, behaviour), env_of(problem), episodes, seed, 0)


def standard_error(values: np.ndarray) -> float:
    """Return the standard error of a mean."""
    return float(values.std(ddof=1) / np.sqrt(len(values)))
