"""Long-term satisfaction (RecSim's choc and kale): clickbait engages now and wears the user out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.config.ranges import Between, EpisodeSteps, NonNegative, Signed
from recsys_cli.envs.base import EnvConfig
from recsys_cli.envs.spec import ChoiceSpec, Documents, Features, ProblemSpec, ResponseField

if TYPE_CHECKING:
    from recsys_cli.envs.long_term_satisfaction_env import LongTermSatisfactionVectorEnv
    from recsys_cli.envs.recsim_backend import RecsimProblem

MAX_ENGAGEMENT = 100.0  # of the observed response; RecSim's constant. The reward is not clipped.


@dataclass
class LongTermSatisfactionConfig(EnvConfig):
    """Long-term satisfaction, with RecSim's parameters under RecSim's names.

    The user always takes the first document of the slate.

    Attributes:
        memory_discount: fraction of the net positive exposure kept at the next step.
        sensitivity: satisfaction = sigmoid(sensitivity x net positive exposure).
        innovation_stddev: standard deviation of the exposure's noise.
        choc_mean: log-engagement with pure clickbait, at satisfaction 1.
        choc_stddev: standard deviation of the log-engagement with pure clickbait.
        kale_mean: log-engagement with no clickbait, at satisfaction 1.
        kale_stddev: standard deviation of the log-engagement with no clickbait.
        time_budget: steps of an episode.
    """

    memory_discount: Annotated[float, Between(0, 1, below=True)]
    sensitivity: Signed
    innovation_stddev: NonNegative
    choc_mean: Signed
    choc_stddev: NonNegative
    kale_mean: Signed
    kale_stddev: NonNegative
    time_budget: EpisodeSteps

    def describe(self) -> ProblemSpec:
        """The user is not observed; a document is its clickbait score. The first of a slate is always clicked."""
        return self.problem_spec(
            user=Features.of(0),
            documents=Documents(Features.of(1, 0.0, 1.0)),
            response=(ResponseField("click"), ResponseField("engagement", "number", 0.0, MAX_ENGAGEMENT)),
            choice=ChoiceSpec("first_position", no_click_mass=-np.inf, attended=1),
            reward="engagement",
            horizon=self.time_budget,
        )

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
    """Return mean and standard deviation of the log-engagement, given the satisfaction before the step."""
    mean = (clickbait * config.choc_mean + (1 - clickbait) * config.kale_mean) * satisfaction
    return mean, clickbait * config.choc_stddev + (1 - clickbait) * config.kale_stddev
