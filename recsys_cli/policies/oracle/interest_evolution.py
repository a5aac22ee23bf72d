"""Interest evolution with budget and document quality known: watch time, less the price of the minutes it takes.

A session's budget is spent by clicks (little by a good video, much by a bad one) and by steps without a click. If a
minute of the budget is worth `price` minutes of watch time, showing slate A is worth

    sum_i P(i | A) (w + price * B_i) + P(none | A) * price * B_none

with w the watch time and B the budget that each outcome leaves; the exact slate of greatest value is shown. The price
is that of the greatest simulated return. That leaves out how interests drift with what is watched, which policy
iteration with a value linear in the budget and quadratic in the interests improved by less than 0.5 %.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from recsys_cli.envs.base import NATIVE
from recsys_cli.envs.choice_models import single_item_score
from recsys_cli.envs.interest_evolution import InterestEvolutionConfig, budget_after_watching
from recsys_cli.networks.choice import KnownChoice
from recsys_cli.policies.base import Observation
from recsys_cli.policies.oracle._base import OraclePolicy
from recsys_cli.slates.optimal import optimal_slates

Floats = NDArray[np.floating[Any]]

SEARCH_DOCUMENTS = 40_000  # users x candidates of the simulation that finds the price
SEARCH_USERS = (500, 2000)  # its fewest and most users
SEARCH_LOCK_STEPS = 1000  # sessions are cut there: some parameters make endless ones
PRICES = (0.4, 5.0)  # tried, in units of the return that one price earns per minute of budget

_found: dict[str, float] = {}  # prices found in this process, by config


class InterestEvolutionOracle(OraclePolicy):
    """Maximises watch time plus `price` times the budget left."""

    def __init__(self, env: InterestEvolutionConfig, price: float | Floats) -> None:
        """Take the worth of a minute of budget, in minutes of watch time: one number, or one a user `[N, 1]`."""
        super().__init__()
        self.env, self.price = env, price
        self.spec = env.choice_spec()
        self.choice = KnownChoice(self.spec)

    def act(self, observation: Observation, *, explore: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Choose slates; see `SlatePolicy.act`. Documents may be dense or topic numbers."""
        user, doc = np.asarray(observation["user"], np.float64), np.asarray(observation["doc"])
        topic = (doc if doc.ndim == 2 else doc.argmax(-1)).astype(np.int64)
        hidden = self.hidden(len(doc))
        # A user whose session just ended is asked about as well; any slate will do.
        budget = np.maximum(hidden["budget"], 0.0)[:, None]
        q, q_null = self._values(budget, hidden["quality"], np.take_along_axis(user, topic, 1))
        v, v_null = self.choice(torch.from_numpy(user), torch.from_numpy(topic))
        slates, _ = optimal_slates(v, torch.from_numpy(q), v_null, torch.from_numpy(q_null), self.env.slate_size)
        return slates.numpy(), np.zeros(len(slates))

    def _values(self, budget: Floats, quality: Floats, affinity: Floats) -> tuple[Floats, Floats]:
        """Return the worth of clicking each candidate [N, C] and of clicking none [N]."""
        env = self.env
        watch_time = np.minimum(budget, env.video_length)
        utility = env.document_quality_factor * quality.astype(np.float64)
        if env.user_quality_factor != 0:
            utility = utility + env.user_quality_factor * single_item_score(self.spec, affinity)
        left = budget_after_watching(budget, watch_time, utility, env.user_update_alpha)
        q = watch_time + self.price * np.maximum(left, 0.0)
        return q, (self.price * np.maximum(budget - env.step_penalty, 0.0))[:, 0]


def simulate(env: InterestEvolutionConfig, price: float | Floats, users: int, seed: int) -> Floats:
    """Return the returns `[users]` of one session each, cut at `SEARCH_LOCK_STEPS`."""
    vec = env.make_vec(users, doc_format="index")
    policy = InterestEvolutionOracle(env, price)
    policy.watch(vec)
    observation, _ = vec.reset(seed=seed)
    returns, playing = np.zeros(users), np.ones(users, bool)
    for _ in range(SEARCH_LOCK_STEPS):
        observation, reward, terminated, _, _ = vec.step(policy.act(observation)[0])
        returns += reward * playing
        playing &= ~terminated
        if not playing.any():
            break
    return returns


def best_price(env: InterestEvolutionConfig, seed: int) -> float:
    """Return the price of the greatest mean return.

    Every user is played with another price; the mean return as a function of it is a cubic in its logarithm, fitted to
    all of them. The noise of the single users averages out, where a search by means of separate prices would follow it.
    """
    users = int(np.clip(SEARCH_DOCUMENTS // env.num_candidates, *SEARCH_USERS))
    # The price of a minute is about what a minute earns; one round from "a minute is worth a minute" is near enough.
    scale = simulate(env, 1.0, users // 10, seed).mean() / env.time_budget
    at = np.linspace(math.log(PRICES[0]), math.log(PRICES[1]), users)
    returns = simulate(env, scale * np.exp(at)[:, None], users, seed + 1)
    curve = np.polynomial.Polynomial.fit(at, returns, 3)
    return float(scale * np.exp(at[np.argmax(curve(at))]))


def make_oracle(env: InterestEvolutionConfig, seed: int) -> InterestEvolutionOracle:
    """Build the oracle; the price is found once a process and config."""
    native = dataclasses.replace(env, backend=NATIVE)
    key = repr((native, seed))
    if key not in _found:
        _found[key] = best_price(native, seed)
    return InterestEvolutionOracle(env, _found[key])
