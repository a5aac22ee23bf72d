"""Interest evolution with budget and document quality known: exact one-step slate improvement, iterated.

A session's budget is spent by clicks (little by a good video, much by a bad one) and by steps without a click. With V
the worth of what is left, the slate A of greatest

    sum_i P(i | A) (w + E[V after a click on i]) + P(none | A) V after no click

is shown, w the watch time. The first V is a price for every minute left, that of the greatest simulated return. Policy
iteration continues from there: the policy's sessions are simulated, V is fitted to what was earned in them
(`_session_value`), the slates are chosen by the new V. The policy of the greatest simulated return is kept.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys_cli.envs.base import NATIVE
from recsys_cli.envs.choice_models import single_item_score
from recsys_cli.envs.interest_evolution import InterestEvolutionConfig, budget_after_watching
from recsys_cli.networks.choice import KnownChoice
from recsys_cli.networks.features import Observed
from recsys_cli.policies.base import Observation, mask_of
from recsys_cli.policies.oracle import _plans
from recsys_cli.policies.oracle._base import OraclePolicy
from recsys_cli.policies.oracle._session_value import SessionValue, fit, quality_powers, summaries
from recsys_cli.slates.optimal import optimal_slates
from recsys_cli.slates.optimisers import slate_scores

Floats = NDArray[np.floating[Any]]

SEARCH_DOCUMENTS = 40_000  # users x candidates of the simulation that finds the price
SEARCH_USERS = (500, 2000)  # its fewest and most users
SEARCH_LOCK_STEPS = 1000  # sessions are cut there: some parameters make endless ones
PRICES = (0.4, 5.0)  # tried, in units of the return that one price earns per minute of budget

ITERATIONS = 2  # more make no difference that 2,000 sessions could show

_found: dict[str, Price | SessionValue] = {}  # values found or read in this process, by the plan's key


class Price:
    """A minute of budget is worth the same whatever the user's interests and however many are left."""

    def __init__(self, price: float | Floats) -> None:
        """Take the worth of a minute, in minutes of watch time: one number, or one per user `[N, 1]`."""
        self.price = price

    def after_clicks(self, interests: Floats, topic: NDArray[np.int64], budget_left: Floats) -> Floats:
        """See `SessionValue.after_clicks`."""
        return self.price * np.maximum(budget_left, 0.0)

    def after_no_click(self, interests: Floats, budget_left: Floats) -> Floats:
        """See `SessionValue.after_no_click`."""
        return (self.price * np.maximum(budget_left, 0.0)[:, None])[:, 0]

    def to_arrays(self) -> dict[str, Floats]:
        """Return the price, for `value_of`."""
        return {"price": np.asarray(self.price, np.float64)}


def value_of(env: InterestEvolutionConfig, arrays: _plans.Arrays) -> Price | SessionValue:
    """Return the value that `to_arrays` described.

    Raises:
        KeyError: there is neither a price nor coefficients.
        TypeError: there are several prices.
        ValueError: the number of coefficients is wrong.
    """
    if "price" in arrays:
        return Price(float(arrays["price"]))
    return SessionValue(env, arrays["coefficients"])


class InterestEvolutionOracle(OraclePolicy):
    """Maximises watch time plus the worth of what is left of the session."""

    def __init__(self, seed: int = 0, value: Price | SessionValue | None = None) -> None:
        """Take what the rest of a session is worth; None: to be found, once for each config (see `_plans`)."""
        super().__init__(seed)
        self.given = value

    def solve(self, env: InterestEvolutionConfig) -> None:
        """Find what the rest of a session is worth."""
        self.env = env
        self.choice = KnownChoice(env.spec.choice)
        if self.given is not None:
            self.value = self.given
            return
        if self.must_plan(env):
            native = dataclasses.replace(env, backend=NATIVE)
            value = _found[self._key(env)] = best_value(native, self.seed)
            _plans.keep(self._key(env), value.to_arrays())
        self.value = _found[self._key(env)]

    def _key(self, env: InterestEvolutionConfig) -> str:
        return _plans.key(dataclasses.replace(env, backend=NATIVE), self.seed)

    def must_plan(self, env: InterestEvolutionConfig) -> bool:
        """See `SlatePolicy.must_plan`; a plan kept on disk is read."""
        key = self._key(env)
        if self.given is None and key not in _found and (kept := _plans.read(key)) is not None:
            with contextlib.suppress(KeyError, TypeError, ValueError):  # not what is kept here
                _found[key] = value_of(env, kept)
        return self.given is None and key not in _found

    def slates(self, observation: Observation) -> NDArray[Any]:
        """See `GreedyPolicy.slates`. Documents may be dense or topic numbers."""
        return optimal_slates(*self._of(observation), self.slate_size, mask_of(observation))[0].numpy()

    def scores(self, observation: Observation) -> NDArray[np.float64]:
        """See `slate_scores`."""
        parts, mask = self._of(observation), mask_of(observation)
        best, _ = optimal_slates(*parts, self.slate_size, mask)
        return slate_scores(parts, best, self.slate_size, mask).numpy()

    def _of(self, observation: Observation) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return choice scores and worths of the candidates [N, C] and of no click [N]."""
        user, doc = np.asarray(observation["user"], np.float64), np.asarray(observation["doc"])
        hidden = self.hidden(len(doc))
        topic = self.env.spec.documents.topics_of(doc)
        # A user whose session just ended is asked about as well; any slate will do.
        budget = np.maximum(hidden["budget"], 0.0)
        q, q_null = self._values(user, topic, budget, hidden["quality"])
        v, v_null = self.choice(Observed(torch.from_numpy(user), torch.from_numpy(topic)))
        return v, torch.from_numpy(q), v_null, torch.from_numpy(q_null)

    def _values(self, user: Floats, topic: NDArray[np.int64], budget: Floats, quality: Floats) -> tuple[Floats, Floats]:
        """Return the worth of clicking each candidate [N, C] and of clicking none [N]."""
        env, before = self.env, budget[:, None]
        watch_time = np.minimum(before, env.video_length)
        utility = env.document_quality_factor * quality.astype(np.float64)
        if env.user_quality_factor != 0:
            affinity = np.take_along_axis(user, topic, 1)
            utility = utility + env.user_quality_factor * single_item_score(env.spec.choice, affinity)
        left = budget_after_watching(before, watch_time, utility, env.user_update_alpha)
        q = watch_time + self.value.after_clicks(user, topic, left)
        return q, self.value.after_no_click(user, budget - env.step_penalty)


@dataclass
class Sessions:
    """Simulated sessions of N users over T lock-steps, cut at `SEARCH_LOCK_STEPS`.

    Attributes:
        level: summaries of the interests before each step (see `_session_value.summaries`), `[T, N, ...]` float32.
        budget: minutes left before it, `[T, N]`.
        reward: `[T, N]`; 0 after a session's end.
        playing: whether the session still went on, `[T, N]`.
    """

    level: Floats
    budget: Floats
    reward: Floats
    playing: NDArray[np.bool_]

    @property
    def returns(self) -> Floats:
        """Summed rewards, `[N]`."""
        return self.reward.sum(0)

    def fit(self, env: InterestEvolutionConfig) -> SessionValue:
        """Fit the value of the simulated policy to what was earned from every step on."""
        to_go = self.reward[::-1].cumsum(0)[::-1]
        at = self.playing
        return fit(env, self.level[at].astype(np.float64), self.budget[at], to_go[at])


def simulate(env: InterestEvolutionConfig, value: Price | SessionValue, users: int, seed: int) -> Sessions:
    """Play one session with each of `users` users."""
    vec, powers = env.make_vec(users, doc_format="index"), quality_powers(env)
    policy = InterestEvolutionOracle(value=value)
    policy.watch(vec)
    observation, _ = vec.reset(seed=seed)
    going, steps = np.ones(users, bool), []
    for _ in range(SEARCH_LOCK_STEPS):
        level = summaries(observation["user"].astype(np.float64), powers).astype(np.float32)
        budget = vec.hidden_state()["budget"]
        observation, reward, terminated, _, _ = vec.step(policy.slates(observation))
        steps.append((level, budget, reward * going, going))
        going = going & ~terminated
        if not going.any():
            break
    return Sessions(*(np.stack(column) for column in zip(*steps, strict=True)))


def best_price(env: InterestEvolutionConfig, seed: int) -> float:
    """Return the price of the greatest mean return.

    Every user is played with a different price; the mean return as a function of it is a cubic in its logarithm, fitted
    to all users. Their noise averages out, whereas a search over means at separate prices would follow it.
    """
    users = int(np.clip(SEARCH_DOCUMENTS // env.spec.width, *SEARCH_USERS))
    # The price of a minute is about what a minute earns; one round from "a minute is worth a minute" is near enough.
    scale = simulate(env, Price(1.0), users // 10, seed).returns.mean() / env.time_budget
    at = np.linspace(math.log(PRICES[0]), math.log(PRICES[1]), users)
    returns = simulate(env, Price(scale * np.exp(at)[:, None]), users, seed + 1).returns
    curve = np.polynomial.Polynomial.fit(at, returns, 3)
    return float(scale * np.exp(at[np.argmax(curve(at))]))


def best_value(env: InterestEvolutionConfig, seed: int) -> Price | SessionValue:
    """Return the worth of the rest of a session whose slates earned most, by policy iteration from the best price."""
    users = int(np.clip(SEARCH_DOCUMENTS // env.spec.width, *SEARCH_USERS))
    value: Price | SessionValue = Price(best_price(env, seed))
    tried: list[tuple[float, Price | SessionValue]] = []
    for left in reversed(range(ITERATIONS + 1)):
        sessions = simulate(env, value, users, seed + 2)  # the same users: differences between policies show sooner
        tried.append((float(sessions.returns.mean()), value))
        if left:
            value = sessions.fit(env)
    return max(tried, key=lambda pair: pair[0])[1]


def make_oracle(seed: int) -> InterestEvolutionOracle:
    """Build the oracle."""
    return InterestEvolutionOracle(seed)
