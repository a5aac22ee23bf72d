"""Long-term satisfaction with the exposure known: a finite-horizon dynamic programme.

With t steps left and net positive exposure z, the value of showing clickbait c first is

    Q_t(z, c) = E[engagement | c, satisfaction(z)] + E[V_{t-1}(next exposure)],    V_t(z) = E[max_c Q_t(z, c)]

where the maximum is over the C candidates of a step, i.i.d. uniform. V is kept on a grid of z. With
`resample_documents=false` the same candidates return, and the programme, which expects new ones, is a heuristic.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.envs.long_term_satisfaction import (
    LongTermSatisfactionConfig,
    exposure_mean,
    log_engagement_moments,
    satisfaction_of,
)
from recsys_cli.policies.base import Observation
from recsys_cli.policies.oracle._base import OraclePolicy

Floats = NDArray[np.float64]

EXPOSURES = 201  # grid points of z
CLICKBAITS = 128  # equiprobable values that stand for the uniform distribution of clickbait
NOISES = 5  # nodes of the Gauss-Hermite quadrature of the exposure's noise


class LongTermSatisfactionOracle(OraclePolicy):
    """Shows the candidate of greatest value first; the rest of the slate has no effect."""

    def solve(self, env: LongTermSatisfactionConfig) -> None:
        """Solve the programme."""
        self.env = env
        self.grid = exposure_grid(env)
        self.future = future_values(env, self.grid)

    def slates(self, observation: Observation) -> NDArray[Any]:
        """See `GreedyPolicy.slates`."""
        scores, mask = self.scores(observation), observation.get("mask")
        if mask is None:
            return np.argsort(-scores, axis=1, kind="stable")[:, : self.slate_size]
        best = np.argsort(np.where(mask, -scores, np.inf), axis=1, kind="stable")[:, : self.slate_size]
        return np.where(np.take_along_axis(mask, best, axis=1), best, -1)

    def scores(self, observation: Observation) -> Floats:
        """Return the value of showing each candidate first."""
        clickbait = np.asarray(observation["doc"], np.float64)[..., 0]
        hidden = self.hidden(len(clickbait))
        exposure = hidden["net_positive_exposure"][:, None]
        reward = expected_engagement(clickbait, hidden["satisfaction"][:, None], self.env)
        after = exposure_mean(exposure, clickbait, self.env.memory_discount)
        # A user whose episode just ended is asked about as well; any slate will do.
        left = np.maximum(hidden["time_budget"].astype(np.int64), 1)
        return reward + _interpolate_rows(self.grid, self.future[left - 1], after)


def expected_engagement(clickbait: Floats, satisfaction: Floats, env: LongTermSatisfactionConfig) -> Floats:
    """Return the mean of the log-normal engagement."""
    mean, stddev = log_engagement_moments(clickbait, satisfaction, env)
    return np.asarray(np.exp(mean + 0.5 * stddev**2))


def exposure_grid(env: LongTermSatisfactionConfig) -> Floats:
    """Return evenly spaced exposures that hold all but a few users in ten thousand million."""
    reach = 1 / (1 - env.memory_discount)  # where clickbait of 0 or 1 for ever leads, without noise
    noise = 6 * env.innovation_stddev / np.sqrt(1 - env.memory_discount**2)
    return np.linspace(-reach - noise, reach + noise, EXPOSURES)


def future_values(env: LongTermSatisfactionConfig, grid: Floats) -> Floats:
    """Return `E[V_t(z + noise)]` for t = 0 .. time_budget - 1 and z on the grid, `[time_budget, EXPOSURES]`."""
    clickbait = (np.arange(CLICKBAITS) + 0.5) / CLICKBAITS
    edges = (np.arange(CLICKBAITS + 1) / CLICKBAITS) ** env.spec.width
    largest = np.diff(edges)  # probability that the j-th smallest of the CLICKBAITS values is the best on offer
    reward = expected_engagement(clickbait, satisfaction_of(grid, env.sensitivity)[:, None], env)
    after = exposure_mean(grid[:, None], clickbait, env.memory_discount)
    nodes, weights = np.polynomial.hermite_e.hermegauss(NOISES)
    shifted = grid[:, None] + env.innovation_stddev * nodes
    future = np.zeros((env.time_budget, len(grid)))
    for t in range(1, env.time_budget):
        value = np.sort(reward + np.interp(after, grid, future[t - 1]), axis=1) @ largest
        future[t] = np.interp(shifted, grid, value) @ weights / weights.sum()
    return future


def _interpolate_rows(grid: Floats, rows: Floats, at: NDArray[Any]) -> Floats:
    """Interpolate linearly: row n of `rows` `[N, G]` at the points `at[n]` `[N, C]`."""
    place = np.clip((at - grid[0]) / (grid[1] - grid[0]), 0, len(grid) - 1)
    low = np.minimum(place.astype(np.int64), len(grid) - 2)
    part, n = place - low, np.arange(len(rows))[:, None]
    return (1 - part) * rows[n, low] + part * rows[n, low + 1]


def make_oracle(seed: int) -> LongTermSatisfactionOracle:
    """Build the oracle."""
    return LongTermSatisfactionOracle(seed)
