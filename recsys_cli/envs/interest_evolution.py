"""Interest evolution (RecSim; SlateQ paper, arXiv 1905.12767, section 6): watching changes what the user likes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.config.ranges import Above, Between, Cap, Fraction, LogWeight, NonNegative, Positive, Signed
from recsys_cli.envs.base import EnvConfig
from recsys_cli.envs.checks import require
from recsys_cli.envs.choice_models import ChoiceModel, check_score_range, check_spec
from recsys_cli.envs.spec import ChoiceSpec, Documents, Features, ProblemSpec, ResponseField

if TYPE_CHECKING:
    from recsys_cli.envs.interest_evolution_env import InterestEvolutionVectorEnv
    from recsys_cli.envs.recsim_backend import RecsimProblem

LOW_QUALITY_SHARE = 0.7  # of the topics; RecSim's constant


@dataclass
class InterestEvolutionConfig(EnvConfig):
    """Interest evolution, with RecSim's parameters under RecSim's names.

    Attributes:
        num_topics: number of topics (T); a document is its topic, one-hot, a user one interest per topic.
        choice_model: RecSim's choice model, on scores v = user . document in [-1, 1].
        no_click_mass: score of not clicking.
        min_normalizer: subtracted from scores by the proportional models.
        attention_prob: probability of examining the next position (cascades only).
        score_scaling: turns a score into a click probability (cascades only).
        time_budget: minutes of a session.
        step_penalty: minutes lost when nothing is clicked.
        user_quality_factor: weight of the choice model's score in the received utility.
        document_quality_factor: weight of the document's quality in the received utility.
        user_update_alpha: fraction of the watch time given back to the budget per unit of utility.
        alpha_x_intercept: interest at which its step is 0.
        alpha_y_intercept: scale of the step at interest 0.
        min_utility: mean quality of the worst topic.
        max_utility: mean quality of the best topic.
        video_length: minutes of one video.
        quality_stddev: standard deviation of quality within a topic.
    """

    num_topics: Annotated[int, Between(2, 32_768)]
    choice_model: ChoiceModel
    no_click_mass: LogWeight
    min_normalizer: Signed
    attention_prob: Fraction
    score_scaling: NonNegative
    time_budget: Annotated[float, Above(0), Cap(10_000_000)]
    step_penalty: NonNegative
    user_quality_factor: Signed
    document_quality_factor: Signed
    user_update_alpha: Signed
    alpha_x_intercept: Positive
    alpha_y_intercept: Signed
    min_utility: Signed
    max_utility: Signed
    video_length: Positive
    quality_stddev: NonNegative

    def __post_init__(self) -> None:
        """Check the utilities and the choice model."""
        super().__post_init__()
        require(
            self.min_utility <= self.max_utility,
            f"env.min_utility={self.min_utility:g} must be <= env.max_utility={self.max_utility:g}",
        )
        choice = self.spec.choice
        check_spec(choice)
        check_score_range(choice, -1.0, 1.0)

    def describe(self) -> ProblemSpec:
        """A user is one interest per topic, a document its topic; the score, user . document, is observed.

        The response has RecSim's fields and bounds, widened if the parameters need it. RecSim declares a document's
        one-hot values as -1 to 1.
        """
        quality = max(100.0, max(abs(self.min_utility), abs(self.max_utility)) + 10 * self.quality_stddev)
        return self.problem_spec(
            user=Features.of(self.num_topics),
            documents=Documents(Features.of(self.num_topics), topics=self.num_topics),
            response=(
                ResponseField("click"),
                ResponseField("watch_time", "number", 0.0, max(100.0, self.video_length)),
                ResponseField("liked"),
                ResponseField("quality", "number", -quality, quality),
                ResponseField("cluster_id", "category", high=self.num_topics),
            ),
            choice=ChoiceSpec(
                kind=self.choice_model,
                observable=True,
                no_click_mass=self.no_click_mass,
                min_normalizer=self.min_normalizer,
                attention_prob=self.attention_prob,
                score_scaling=self.score_scaling,
            ),
            reward="watch_time",
        )

    def native_env(self, num_envs: int, doc_format: str) -> InterestEvolutionVectorEnv:
        """Build the vectorised users."""
        from recsys_cli.envs.interest_evolution_env import InterestEvolutionVectorEnv

        return InterestEvolutionVectorEnv(self, num_envs, doc_format)

    def recsim_problem(self) -> RecsimProblem[Any]:
        """RecSim's `interest_evolution`."""
        from recsys_cli.envs.recsim_interest_evolution import RecsimInterestEvolution

        return RecsimInterestEvolution(self)


def quality_means(config: InterestEvolutionConfig) -> NDArray[np.float64]:
    """Return each topic's mean quality `[T]`: 70 % of the topics rise from the worst to 0, the others from 0 on."""
    low = round(LOW_QUALITY_SHARE * config.num_topics)
    return np.concatenate(
        [np.linspace(config.min_utility, 0.0, low), np.linspace(0.0, config.max_utility, config.num_topics - low)]
    )


def interest_step(interest: NDArray[Any], x_intercept: float, y_intercept: float) -> NDArray[Any]:
    """Return the size of the step a watched topic's interest takes, up or down: (y - y/x |u|) (1 - u)."""
    return (y_intercept - (y_intercept / x_intercept) * np.abs(interest)) * (1 - interest)


def interest_rise_probability(interest: NDArray[Any]) -> NDArray[Any]:
    """Return the probability that a watched topic's interest takes its step upward."""
    return (interest + 1) / 2


def interest_update(
    interest: NDArray[Any], rises: NDArray[np.bool_], x_intercept: float, y_intercept: float
) -> NDArray[Any]:
    """Return the interests in the watched topics after watching, in [-1, 1]."""
    step = interest_step(interest, x_intercept, y_intercept)
    return np.minimum(np.maximum(interest + np.where(rises, step, -step), -1.0), 1.0)


def budget_after_watching(
    budget: NDArray[Any], watch_time: NDArray[Any], utility: NDArray[Any], user_update_alpha: float
) -> NDArray[Any]:
    """Return the minutes left after the watch time, plus the part of it that a good video gives back."""
    return budget - watch_time + user_update_alpha * watch_time * utility
