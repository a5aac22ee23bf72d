"""Interest exploration (RecSim): users of hidden types, and topics of wide or of niche appeal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.ranges import EpisodeSteps, Fraction, LogMean, LogStddev, LogWeight, NonNegative, Signed
from recsys_cli.envs.base import EnvConfig
from recsys_cli.envs.checks import require, require_distribution, require_matrix, require_vector
from recsys_cli.envs.choice_models import ChoiceModel, check_spec, valid_scores
from recsys_cli.envs.spec import ChoiceSpec, Documents, Features, ProblemSpec, ResponseField

if TYPE_CHECKING:
    from recsys_cli.envs.interest_exploration_env import InterestExplorationVectorEnv
    from recsys_cli.envs.recsim_backend import RecsimProblem


@dataclass
class InterestExplorationConfig(EnvConfig):
    """Interest exploration, with RecSim's parameters under RecSim's names.

    A user's affinity to a topic is LogNormal(mean[type, topic], stddev[type, topic]), a document's quality
    LogNormal(mean[topic], stddev[topic]); the score of a document is their sum. Both means are of the logarithm.

    Attributes:
        horizon: steps until an episode is truncated; RecSim itself never ends one.
        choice_model: RecSim's choice model, on scores above 0.
        no_click_mass: score of not clicking.
        min_normalizer: subtracted from scores by the proportional models.
        attention_prob: probability of examining the next position (cascades only).
        score_scaling: turns a score into a click probability (cascades only).
        user_type_distribution: probability of each user type.
        user_document_mean_affinity_matrix: log-mean of the affinity, user type by topic.
        user_document_stddev_affinity_matrix: log-stddev of the affinity, user type by topic.
        topic_distribution: probability of each topic.
        topic_quality_mean: log-mean of the quality, by topic.
        topic_quality_stddev: log-stddev of the quality, by topic.
    """

    horizon: EpisodeSteps
    choice_model: ChoiceModel
    no_click_mass: LogWeight
    min_normalizer: Signed
    attention_prob: Fraction
    score_scaling: NonNegative
    user_type_distribution: list[Fraction]
    user_document_mean_affinity_matrix: list[list[LogMean]]
    user_document_stddev_affinity_matrix: list[list[LogStddev]]
    topic_distribution: list[Fraction]
    topic_quality_mean: list[LogMean]
    topic_quality_stddev: list[LogStddev]

    def __post_init__(self) -> None:
        """Check the shapes and the choice model."""
        super().__post_init__()
        self._check_shapes()
        check_spec(self.spec.choice)
        if valid_scores(self.spec.choice)[1] <= 0:
            raise ConfigError(
                f"env.score_scaling={self.score_scaling} is too high for env.choice_model={self.choice_model}: "
                "every score is above 0 and would be clicked with a probability above 1"
            )

    def _check_shapes(self) -> None:
        require_distribution("env.user_type_distribution", self.user_type_distribution)
        require_distribution("env.topic_distribution", self.topic_distribution)
        types, topics = len(self.user_type_distribution), len(self.topic_distribution)
        require(topics <= 256, f"env.topic_distribution has {topics} topics; at most 256 are possible")
        for key in ("user_document_mean_affinity_matrix", "user_document_stddev_affinity_matrix"):
            sides = ("env.user_type_distribution", "env.topic_distribution")
            require_matrix(f"env.{key}", getattr(self, key), (types, topics), sides)
        for key in ("topic_quality_mean", "topic_quality_stddev"):
            require_vector(f"env.{key}", getattr(self, key), topics, "env.topic_distribution")

    @property
    def num_topics(self) -> int:
        """Number of topics (T)."""
        return len(self.topic_distribution)

    def describe(self) -> ProblemSpec:
        """The user is not observed; a document is its one-hot topic and its quality.

        This is gymnasium's order when RecSim's document is flattened. Scores are affinity (hidden) plus quality.
        """
        bits = (0.0,) * self.num_topics, (1.0,) * self.num_topics
        return self.problem_spec(
            user=Features.of(0),
            documents=Documents(
                Features((*bits[0], 0.0), (*bits[1], np.inf)), topics=self.num_topics, quality=self.num_topics
            ),
            response=(
                ResponseField("click"),
                ResponseField("quality", "number", 0.0, np.inf),
                ResponseField("cluster_id", "category", high=self.num_topics),
            ),
            choice=ChoiceSpec(
                kind=self.choice_model,
                no_click_mass=self.no_click_mass,
                min_normalizer=self.min_normalizer,
                attention_prob=self.attention_prob,
                score_scaling=self.score_scaling,
            ),
            reward="click",
            truncation=self.horizon,
            horizon=self.horizon,
        )

    def native_env(self, num_envs: int, doc_format: str) -> InterestExplorationVectorEnv:
        """Build the vectorised users."""
        from recsys_cli.envs.interest_exploration_env import InterestExplorationVectorEnv

        return InterestExplorationVectorEnv(self, num_envs, doc_format)

    def recsim_problem(self) -> RecsimProblem[Any]:
        """RecSim's `interest_exploration`."""
        from recsys_cli.envs.recsim_interest_exploration import RecsimInterestExploration

        return RecsimInterestExploration(self)


def document_scores(topic_affinity: NDArray[Any], quality: NDArray[Any]) -> NDArray[Any]:
    """Return the score of each shown document: the user's affinity to its topic plus its quality, `[N, k]`."""
    return topic_affinity + quality
