"""Interest exploration, vectorised: equal in distribution to RecSim's `interest_exploration`."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from recsys_cli.envs import choice_models
from recsys_cli.envs.interest_exploration import InterestExplorationConfig, document_scores
from recsys_cli.envs.sampling import LogNormalDocuments, draw_topics
from recsys_cli.envs.spec import DENSE
from recsys_cli.envs.vector import Advance, Rows, SlateVectorEnv


class InterestExplorationVectorEnv(SlateVectorEnv):
    """Users with a fixed, hidden affinity to every topic; see `SlateVectorEnv` for the interface."""

    state_arrays: ClassVar[tuple[str, ...]] = ("_user_type", "_affinity", "_topics", "_quality")
    config: InterestExplorationConfig

    def __init__(self, config: InterestExplorationConfig, num_envs: int, doc_format: str = DENSE) -> None:
        """Make room for the users and tables for their documents."""
        super().__init__(config, num_envs, doc_format)
        self._choice = self.problem.choice
        # Affinity and quality are above 0: this choice model may be undefined for some of their sums.
        low, high = choice_models.valid_scores(self._choice)
        self._may_be_undefined = low > 0 or high < np.inf
        self._type_edges = np.cumsum(config.user_type_distribution, dtype=np.float32)
        self._affinity_mean = np.asarray(config.user_document_mean_affinity_matrix)
        self._affinity_stddev = np.asarray(config.user_document_stddev_affinity_matrix)
        self._sampler = LogNormalDocuments(
            config.topic_distribution, config.topic_quality_mean, config.topic_quality_stddev
        )
        shape = (num_envs, self.problem.width)
        self._user_offsets = self._row_starts(config.num_topics)
        self._user_type = np.zeros(num_envs, np.int64)
        self._affinity = np.zeros((num_envs, config.num_topics), np.float32)
        self._topics = np.zeros(shape, np.uint8)
        self._quality = np.zeros(shape, np.float32)

    def _start(self, rows: Rows) -> None:
        types = draw_topics(self.rng, self._type_edges, rows.size)
        self._user_type[rows] = types
        self._affinity[rows] = self.rng.lognormal(self._affinity_mean[types], self._affinity_stddev[types])

    def _draw_candidates(self) -> None:
        topics, quality = self._sampler.draw(self.rng, self._topics.size)
        self._topics, self._quality = topics.reshape(self._topics.shape), quality.reshape(self._topics.shape)

    def _advance(self, slates: NDArray[np.intp], active: NDArray[np.bool_] | None) -> Advance:
        shown = slates + self._offsets
        topics, quality = self._topics.take(shown), self._quality.take(shown)
        scores = document_scores(self._affinity.take(self._user_offsets + topics), quality)
        filled = self._shown(slates)
        if self._may_be_undefined:
            # The first position always holds a document; a score at an empty one is of a document not shown.
            seen = scores if filled is None else np.where(filled, scores, scores[:, :1])
            choice_models.check_scores(self._choice, seen if active is None else seen[active])
        uniform = self.rng.random(self.num_envs, dtype=np.float32)
        choice = choice_models.choose(self._choice, scores, uniform, filled)

        rows = np.flatnonzero(choice < slates.shape[1])
        response = self._no_response()
        response["click"].put(rows * slates.shape[1] + choice[rows], 1)
        response["quality"] = quality
        response["cluster_id"] = topics.astype(np.int64)
        reward = (choice < slates.shape[1]).astype(np.float64)
        return response, reward, np.zeros(self.num_envs, np.bool_)

    def _user(self) -> NDArray[np.float32]:
        return np.zeros((self.num_envs, 0), np.float32)

    def _documents(self) -> NDArray[np.float32]:
        documents = self._document_memory.take()
        self._sampler.features(self._topics, self._quality, documents)
        return documents

    def hidden_state(self) -> dict[str, NDArray[Any]]:
        """Return `user_type` `[N]` and `affinity` `[N, T]` (on the scale of the scores)."""
        return {"user_type": self._user_type.copy(), "affinity": self._affinity.copy()}
