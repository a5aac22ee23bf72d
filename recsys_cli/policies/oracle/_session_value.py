"""What the rest of an interest evolution session is worth, fitted to simulated sessions.

With interests I and B minutes left,

    V(I, B) = sum over m = 1, 2 of B^m (a_m + sum over p = 1, 2 and j = 0..3 of b_mpj S_pj),  S_pj = mean_t I_t^p mu_t^j

with mu the topics' mean quality: quadratic in the budget, separable over topics, and with as many coefficients whatever
the number of topics. A click changes one topic's interest, so what it does to V has a closed form.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.envs.interest_evolution import (
    InterestEvolutionConfig,
    interest_rise_probability,
    interest_update,
    quality_means,
)

Floats = NDArray[np.floating[Any]]

QUALITY_POWERS = 4
COEFFICIENTS = 2 * (1 + 2 * QUALITY_POWERS)
RIDGE = 1e-6  # of the mean square of the features: matters only if a feature is constant


class SessionValue:
    """The fitted value; everything about budgets is in units of the whole budget."""

    def __init__(self, env: InterestEvolutionConfig, coefficients: Floats) -> None:
        """Take the coefficients, `[COEFFICIENTS]`: for each power of the budget `a_m`, then `b_mpj`."""
        self.env, self.weights = env, coefficients.reshape(2, 1 + 2 * QUALITY_POWERS)
        self.powers = quality_powers(env)
        # Worth of one topic's interest and its square, for each power of the budget: [2 (m), 2 (p), T].
        each = self.weights[:, 1:].reshape(2, 2, QUALITY_POWERS)
        self.of_topic = np.einsum("mpj,tj->mpt", each, self.powers) / env.num_topics
        self._last: tuple[Floats, Floats] | None = None

    def to_arrays(self) -> dict[str, Floats]:
        """Return the coefficients."""
        return {"coefficients": self.weights.reshape(-1)}

    def after_clicks(self, interests: Floats, topic: NDArray[np.int64], budget_left: Floats) -> Floats:
        """Return the expected worth of what follows a click on each candidate.

        Args:
            interests: `[N, T]` before the click.
            topic: of the candidates, `[N, C]`.
            budget_left: after the click, `[N, C]`.
        """
        env = self.env
        before = np.take_along_axis(interests, topic, 1)
        rise = interest_rise_probability(before)
        up, down = (
            interest_update(before, np.full(before.shape, rises), env.alpha_x_intercept, env.alpha_y_intercept)
            for rises in (True, False)
        )
        drift = rise * up + (1 - rise) * down - before
        drift_of_square = rise * up**2 + (1 - rise) * down**2 - before**2
        level = self._level(interests)
        per_power = [
            level[:, m, None] + self.of_topic[m, 0][topic] * drift + self.of_topic[m, 1][topic] * drift_of_square
            for m in range(2)
        ]
        return self._at(budget_left, per_power[0], per_power[1])

    def after_no_click(self, interests: Floats, budget_left: Floats) -> Floats:
        """Return the worth `[N]` of going on with unchanged interests and the budgets `[N]`."""
        level = self._level(interests)
        return self._at(budget_left, level[:, 0], level[:, 1])

    def _level(self, interests: Floats) -> Floats:
        """Return what each power of the budget is worth, `[N, 2]`; of one array it is asked twice."""
        if self._last is None or self._last[0] is not interests:
            self._last = interests, summaries(interests, self.powers) @ self.weights.T
        return self._last[1]

    def _at(self, budget: Floats, linear: Floats, quadratic: Floats) -> Floats:
        part = np.maximum(budget, 0.0) / self.env.time_budget
        return np.maximum(part * (linear + part * quadratic), 0.0)


def quality_powers(env: InterestEvolutionConfig) -> Floats:
    """Return the powers 0 to 3 of each topic's mean quality, `[T, QUALITY_POWERS]`, scaled to at most 1."""
    means = quality_means(env)
    scaled = means / max(float(np.abs(means).max()), 1e-9)
    return scaled[:, None] ** np.arange(QUALITY_POWERS)


def summaries(interests: Floats, powers: Floats) -> Floats:
    """Return `1, S_10 .. S_13, S_20 .. S_23` of users' interests, `[N, 1 + 2 * QUALITY_POWERS]`."""
    topics = len(powers)
    return np.concatenate(
        [np.ones((len(interests), 1)), interests @ powers / topics, interests**2 @ powers / topics], axis=1
    )


def fit(env: InterestEvolutionConfig, level: Floats, budget: Floats, value: Floats) -> SessionValue:
    """Fit by least squares.

    Args:
        env: the problem.
        level: summaries of the visited states, `[n, 1 + 2 * QUALITY_POWERS]`.
        budget: minutes left in them, `[n]`.
        value: what was earned from there on, `[n]`.
    """
    part = np.maximum(budget, 0.0)[:, None] / env.time_budget
    features = np.concatenate([part * level, part**2 * level], axis=1)
    moment = features.T @ features
    moment[np.diag_indices_from(moment)] *= 1 + RIDGE
    moment[np.diag_indices_from(moment)] += RIDGE
    return SessionValue(env, np.linalg.solve(moment, features.T @ value))
