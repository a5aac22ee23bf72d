"""Long-term satisfaction (RecSim's choc and kale): clickbait engages now and wears the user out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from recsys_cli.config.ranges import Between, Count, NonNegative
from recsys_cli.envs.base import ChoiceSpec, EnvConfig

if TYPE_CHECKING:
    from recsys_cli.envs.long_term_satisfaction_env import LongTermSatisfactionVectorEnv
    from recsys_cli.envs.recsim_backend import RecsimProblem

MAX_ENGAGEMENT = 100.0  # of the observed response; RecSim's constant. The reward is not clipped.


@dataclass
class LongTermSatisfactionConfig(EnvConfig):
    """Long-term satisfaction, with RecSim's parameters under RecSim's names.

    The user always takes the first document of the slate.

    Attributes:
        memory_discount: how much of the net positive exposure lasts to the next step.
        sensitivity: satisfaction = sigmoid(sensitivity x net positive exposure).
        innovation_stddev: standard deviation of the exposure's noise.
        choc_mean: log-engagement with pure clickbait, at satisfaction 1.
        choc_stddev: standard deviation of the log-engagement with pure clickbait.
        kale_mean: log-engagement with no clickbait, at satisfaction 1.
        kale_stddev: standard deviation of the log-engagement with no clickbait.
        time_budget: steps of an episode.
    """

    memory_discount: Annotated[float, Between(0, 1, below=True)]
    sensitivity: float
    innovation_stddev: NonNegative
    choc_mean: float
    choc_stddev: NonNegative
    kale_mean: float
    kale_stddev: NonNegative
    time_budget: Count

    @property
    def user_features(self) -> int:
        """Nothing is seen of the user."""
        return 0

    @property
    def doc_features(self) -> int:
        """The clickbait score."""
        return 1

    @property
    def max_episode_steps(self) -> int | None:
        """Every episode has `time_budget` steps."""
        return self.time_budget

    def choice_spec(self) -> ChoiceSpec:
        """The first document is always clicked."""
        return ChoiceSpec(
            kind="first_position",
            observable=False,
            no_click_mass=-np.inf,
            min_normalizer=0.0,
            attention_prob=1.0,
            score_scaling=1.0,
            attended=1,
        )

    def response_space(self) -> spaces.Dict:
        """RecSim's fields."""
        return spaces.Dict(
            {
                "click": spaces.MultiBinary(self.slate_size),
                "engagement": spaces.Box(0.0, MAX_ENGAGEMENT, (self.slate_size,), np.float32),
            }
        )

    def document_bounds(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """A clickbait score from 0 to 1."""
        return np.zeros(1), np.ones(1)

    def native_env(self, num_envs: int, doc_format: str) -> LongTermSatisfactionVectorEnv:
        """Build the vectorised users."""
        from recsys_cli.envs.long_term_satisfaction_env import LongTermSatisfactionVectorEnv

        return LongTermSatisfactionVectorEnv(self, num_envs, doc_format)

    def recsim_problem(self) -> RecsimProblem[Any]:
        """RecSim's `long_term_satisfaction`."""
        from recsys_cli.envs.recsim_long_term_satisfaction import RecsimLongTermSatisfaction

        return RecsimLongTermSatisfaction(self)


def satisfaction_of(net_positive_exposure: NDArray[Any], sensitivity: float) -> NDArray[Any]:
    """Return sigmoid(sensitivity x exposure)."""
    return np.asarray(1 / (1 + np.exp(-sensitivity * net_positive_exposure)))


def exposure_mean(net_positive_exposure: NDArray[Any], clickbait: NDArray[Any], memory_discount: float) -> NDArray[Any]:
    """Return the mean of the next exposure; clickbait lowers it (RecSim's code; its docstring has the other sign)."""
    return memory_discount * net_positive_exposure - 2.0 * (clickbait - 0.5)


def log_engagement_moments(
    clickbait: NDArray[Any], satisfaction: NDArray[Any], config: LongTermSatisfactionConfig
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return mean and standard deviation of the logarithm of the engagement; satisfaction is that before the step."""
    mean = (clickbait * config.choc_mean + (1 - clickbait) * config.kale_mean) * satisfaction
    return mean, clickbait * config.choc_stddev + (1 - clickbait) * config.kale_stddev
