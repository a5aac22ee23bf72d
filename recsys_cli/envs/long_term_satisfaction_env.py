"""Long-term satisfaction, vectorised: equal in distribution to RecSim's `long_term_satisfaction`."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from recsys_cli.envs.long_term_satisfaction import (
    MAX_ENGAGEMENT,
    LongTermSatisfactionConfig,
    exposure_mean,
    log_engagement_moments,
    satisfaction_of,
)
from recsys_cli.envs.sampling import Ahead, normal, uniform
from recsys_cli.envs.spec import DENSE
from recsys_cli.envs.vector import Advance, Rows, SlateVectorEnv


class LongTermSatisfactionVectorEnv(SlateVectorEnv):
    """Users with a hidden net positive exposure; see `SlateVectorEnv` for the interface."""

    state_arrays: ClassVar[tuple[str, ...]] = ("_exposure", "_satisfaction", "_budget", "_clickbait")
    draws_ahead: ClassVar[tuple[str, ...]] = ("_candidates", "_noise")
    config: LongTermSatisfactionConfig

    def __init__(self, config: LongTermSatisfactionConfig, num_envs: int, doc_format: str = DENSE) -> None:
        """Make room for the users and their documents."""
        super().__init__(config, num_envs, doc_format)
        self._candidates = Ahead(uniform, num_envs, self.problem.width, 1)
        self._noise = Ahead(normal, 2, num_envs, users=1)
        self._exposure = np.zeros(num_envs)
        self._satisfaction = np.zeros(num_envs)
        self._budget = np.zeros(num_envs, np.int64)
        self._clickbait = np.zeros((num_envs, self.problem.width, 1), np.float32)

    def _start(self, rows: Rows) -> None:
        exposure = (self.rng.random(rows.size) - 0.5) / (1 - self.config.memory_discount)
        self._exposure[rows] = exposure
        self._satisfaction[rows] = satisfaction_of(exposure, self.config.sensitivity)
        self._budget[rows] = self.config.time_budget

    def _draw_candidates(self) -> None:
        self._clickbait = self._candidates.take(self.rng)

    def _advance(self, slates: NDArray[np.intp], active: NDArray[np.bool_] | None) -> Advance:
        clickbait = self._clickbait.take(slates[:, 0] + self._offsets[:, 0]).astype(np.float64)
        mean, stddev = log_engagement_moments(clickbait, self._satisfaction, self.config)
        noise = self._noise.take(self.rng)
        engagement = np.exp(mean + stddev * noise[0])

        exposure = exposure_mean(self._exposure, clickbait, self.config.memory_discount)
        self._exposure = exposure + self.config.innovation_stddev * noise[1]
        self._satisfaction = satisfaction_of(self._exposure, self.config.sensitivity)
        self._budget = self._budget - 1

        response = self._no_response()
        response["click"][:, 0] = 1
        response["engagement"][:, 0] = np.minimum(engagement, MAX_ENGAGEMENT)
        return response, engagement, self._budget <= 0

    def _user(self) -> NDArray[np.float32]:
        return np.zeros((self.num_envs, 0), np.float32)

    def _documents(self) -> NDArray[np.float32]:
        documents = self._document_memory.take()
        documents[...] = self._clickbait
        return documents

    def hidden_state(self) -> dict[str, NDArray[Any]]:
        """Return `net_positive_exposure`, `satisfaction` and `time_budget` (steps left), `[N]` each."""
        return {
            "net_positive_exposure": self._exposure.copy(),
            "satisfaction": self._satisfaction.copy(),
            "time_budget": self._budget.copy(),
        }
