"""Interest evolution, vectorised: equal in distribution to RecSim's `interest_evolution`."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from recsys_cli.envs import choice_models
from recsys_cli.envs.interest_evolution import (
    InterestEvolutionConfig,
    budget_after_watching,
    interest_rise_probability,
    interest_update,
    quality_means,
)
from recsys_cli.envs.sampling import Ahead, OneHot, UniformTopics, normal, uniform
from recsys_cli.envs.spec import DENSE, INDEX
from recsys_cli.envs.vector import Advance, Rows, SlateVectorEnv


class InterestEvolutionVectorEnv(SlateVectorEnv):
    """Users with one interest per topic and a time budget; see `SlateVectorEnv` for the interface.

    A document is the number of its topic. With resampled candidates the quality of a document is drawn when it is
    shown: nobody can see it before, so this is equal in distribution to drawing it with the document. `hidden_state`
    draws the qualities of all current candidates (and so advances the random stream); these are then used.
    """

    state_arrays: ClassVar[tuple[str, ...]] = ("_interests", "_budget", "_topics", "_quality")
    draws_ahead: ClassVar[tuple[str, ...]] = ("_candidates", "_noise", "_uniform")
    config: InterestEvolutionConfig

    def __init__(self, config: InterestEvolutionConfig, num_envs: int, doc_format: str = DENSE) -> None:
        """Make room for the users and tables for their documents."""
        super().__init__(config, num_envs, doc_format)
        self._choice = self.problem.choice
        self._quality_means = quality_means(config).astype(np.float32)
        self._quality_stddev = np.float32(config.quality_stddev)
        self._candidates = Ahead(UniformTopics(config.num_topics).draw, num_envs, self.problem.width)
        self._noise = Ahead(normal, num_envs, config.slate_size)
        self._uniform = Ahead(uniform, 2, num_envs, users=1)
        self._one_hot = OneHot(config.num_topics)
        self._user_offsets = self._row_starts(config.num_topics)
        self._interests = np.zeros((num_envs, config.num_topics), np.float32)
        self._budget = np.zeros(num_envs)
        self._topics = np.zeros((num_envs, self.problem.width), self.problem.documents.number_dtype)
        self._quality: NDArray[np.float32] | None = None

    def _start(self, rows: Rows) -> None:
        uniform = self.rng.random((rows.size, self.config.num_topics), dtype=np.float32)
        self._interests[rows] = 2 * uniform - 1
        self._budget[rows] = self.config.time_budget

    def _draw_candidates(self) -> None:
        self._topics = self._candidates.take(self.rng)
        self._quality = None if self.config.resample_documents else self._draw_quality()

    def _draw_quality(self) -> NDArray[np.float32]:
        """Return the quality of all candidates, `[N, C]`."""
        return self._quality_of(self._topics, normal(self.rng, self._topics.size).reshape(self._topics.shape))

    def _quality_of(self, topics: NDArray[Any], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        quality = noise * self._quality_stddev
        quality += self._quality_means.take(topics)
        return quality

    def _advance(self, slates: NDArray[np.intp], active: NDArray[np.bool_] | None) -> Advance:
        shown = slates + self._offsets
        topics = self._topics.take(shown).astype(np.int64)
        interests = self._user_offsets + topics  # where they are in the flattened `_interests`
        if self._quality is None:
            quality = self._quality_of(topics, self._noise.take(self.rng))
        else:
            quality = self._quality.take(shown)
        affinity = self._interests.take(interests)
        uniform = self._uniform.take(self.rng)
        choice = choice_models.choose(self._choice, affinity, uniform[0], self._shown(slates))

        rows = (choice < slates.shape[1]).nonzero()[0]
        clicked = rows * slates.shape[1] + choice[rows]
        liked = affinity.take(clicked)
        watch_time = self._watch(rows, liked, quality.take(clicked))
        rises = uniform[1].take(rows) < interest_rise_probability(liked)
        intercepts = self.config.alpha_x_intercept, self.config.alpha_y_intercept
        self._interests.put(interests.take(clicked), interest_update(liked, rises, *intercepts))

        response = self._no_response()
        response["click"].put(clicked, 1)
        response["watch_time"].put(clicked, watch_time)
        response["quality"], response["cluster_id"] = quality, topics
        reward = np.zeros(self.num_envs)
        reward.put(rows, watch_time)
        return response, reward, self._budget <= 0

    def _watch(self, rows: Rows, affinity: NDArray[np.float32], quality: NDArray[np.float32]) -> NDArray[np.float64]:
        """Let the users `rows` `[n]` watch one document each and the others lose time; return the watch time `[n]`."""
        config = self.config
        before = self._budget.take(rows)
        watch_time = np.minimum(before, config.video_length)
        utility = config.document_quality_factor * quality.astype(np.float64)
        if config.user_quality_factor != 0:
            utility += config.user_quality_factor * choice_models.single_item_score(self._choice, affinity)
        self._budget = self._budget - config.step_penalty
        self._budget.put(rows, budget_after_watching(before, watch_time, utility, config.user_update_alpha))
        return watch_time

    def _user(self) -> NDArray[np.float32]:
        return self._interests.copy()

    def _documents(self) -> NDArray[Any]:
        documents = self._document_memory.take()
        if self.doc_format == INDEX:
            documents[...] = self._topics
        else:
            self._one_hot.write(self._topics, documents)
        return documents

    def hidden_state(self) -> dict[str, NDArray[Any]]:
        """Return `budget` `[N]` (minutes left) and `quality` `[N, C]` of the candidates."""
        if self._quality is None:
            self._quality = self._draw_quality()
        return {"budget": self._budget.copy(), "quality": self._quality.copy()}
