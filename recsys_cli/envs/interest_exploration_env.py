"""Interest exploration, vectorised: equal in distribution to RecSim's `interest_exploration`."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from recsys_cli.envs import choice_models
from recsys_cli.envs.interest_exploration import InterestExplorationConfig, document_scores
from recsys_cli.envs.sampling import Ahead, LogNormalDocuments, draw_topics, normal, uniform
from recsys_cli.envs.spec import DENSE
from recsys_cli.envs.vector import Advance, Rows, SlateVectorEnv


class InterestExplorationVectorEnv(SlateVectorEnv):
    """Users with a fixed, hidden affinity to every topic; see `SlateVectorEnv` for the interface."""

    state_arrays: ClassVar[tuple[str, ...]] = ("_user_type", "_affinity", "_topics", "_quality")
    draws_ahead: ClassVar[tuple[str, ...]] = ("_candidates", "_noise", "_uniform")
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
        self._law = LogNormalDocuments(
            config.topic_distribution, config.topic_quality_mean, config.topic_quality_stddev
        )
        shape = (num_envs, self.problem.width)
        self._candidates, self._noise = Ahead(self._law.topics, *shape), Ahead(normal, *shape)
        self._uniform = Ahead(uniform, num_envs)
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
        self._topics = self._candidates.take(self.rng)
        self._quality = self._law.quality(self._topics, self._noise.take(self.rng))

    def _advance(self, slates: NDArray[np.intp], active: NDArray[np.bool_] | None) -> Advance:
        shown = slates + self._offsets
        topics, quality = self._topics.take(shown).astype(np.int64), self._quality.take(shown)
        scores = document_scores(self._affinity.take(self._user_offsets + topics), quality)
        filled = self._shown(slates)
        if self._may_be_undefined:
            # The first position always holds a document; a score at an empty one is of a document not shown.
            seen = scores if filled is None else np.where(filled, scores, scores[:, :1])
            choice_models.check_scores(self._choice, seen if active is None else seen[active])
        choice = choice_models.choose(self._choice, scores, self._uniform.take(self.rng), filled)

        clicks = choice < slates.shape[1]
        rows = clicks.nonzero()[0]
        response = self._no_response()
        response["click"].put(rows * slates.shape[1] + choice[rows], 1)
        response["quality"], response["cluster_id"] = quality, topics
        reward = clicks.astype(np.float64)
        return response, reward, np.zeros(self.num_envs, np.bool_)

    def _user(self) -> NDArray[np.float32]:
        return np.zeros((self.num_envs, 0), np.float32)

    def _documents(self) -> NDArray[np.float32]:
        documents = self._document_memory.take()
        self._law.features(self._topics, self._quality, documents)
        return documents

    def hidden_state(self) -> dict[str, NDArray[Any]]:
        """Return `user_type` `[N]` and `affinity` `[N, T]` (on the scale of the scores)."""
        return {"user_type": self._user_type.copy(), "affinity": self._affinity.copy()}
