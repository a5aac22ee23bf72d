"""What a problem is: its configuration and what an algorithm may know of its users."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from gymnasium import spaces

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.ranges import Count
from recsys_cli.envs.checks import require, require_choice
from recsys_cli.envs.vector import DENSE, INDEX, SlateVectorEnv

if TYPE_CHECKING:
    from recsys_cli.envs.recsim_backend import RecsimProblem

__all__ = ["ChoiceSpec", "EnvConfig", "SlateVectorEnv"]

NATIVE: Final = "native"
RECSIM: Final = "recsim"


@dataclass(frozen=True)
class ChoiceSpec:
    """What an algorithm may assume of the user's choice; holds no hidden state.

    Attributes:
        kind: `multinomial_logit`, `multinomial_proportional`, `exponential_cascade`, `proportional_cascade`
            (RecSim's choice models) or `first_position` (the user always takes the first item).
        observable: whether an item's score is a function of the observation (user features dot document features).
        no_click_mass: score of not clicking (a logit for `multinomial_logit`).
        min_normalizer: subtracted from every score by the proportional models.
        attention_prob: probability of examining the next position, for the cascades.
        score_scaling: turns a score into a click probability, for the cascades.
        attended: number of leading slate positions the user looks at; None: all of them.
    """

    kind: str
    observable: bool
    no_click_mass: float
    min_normalizer: float = 0.0
    attention_prob: float = 1.0
    score_scaling: float = 1.0
    attended: int | None = None


@dataclass
class EnvConfig(ABC):
    """What every problem has; each problem's dataclass adds its own parameters. Defaults stand in `conf/env`.

    Attributes:
        name: the problem's name, that of its yaml.
        num_candidates: documents offered to the user's slate at every step (C).
        slate_size: documents shown at every step (k).
        resample_documents: whether candidates are drawn anew at every step, or once per user for good.
        backend: `native` (vectorised) or `recsim` (the original package, one copy per user).
    """

    name: str
    num_candidates: Count
    slate_size: Count
    resample_documents: bool
    backend: Literal["native", "recsim"]

    def __post_init__(self) -> None:
        """Check what all problems share."""
        if self.backend == RECSIM and type(self).recsim_problem is EnvConfig.recsim_problem:
            self.recsim_problem()
        require(
            self.slate_size <= self.num_candidates,
            f"env.slate_size={self.slate_size} must be <= env.num_candidates={self.num_candidates}",
        )

    @property
    @abstractmethod
    def user_features(self) -> int:
        """Length U of the user observation."""

    @property
    @abstractmethod
    def doc_features(self) -> int:
        """Length F of one document's observation."""

    @property
    def one_hot_docs(self) -> bool:
        """Whether a document is its topic, one-hot: then `doc_format="index"` is available."""
        return False

    @property
    def doc_topics(self) -> int:
        """Number of topics: the first so many features of a document are its topic, one-hot; 0 where it has none."""
        return self.doc_features if self.one_hot_docs else 0

    @property
    def quality_feature(self) -> int | None:
        """Which of a document's features is its quality, where that is observed."""
        return None

    @property
    def max_episode_steps(self) -> int | None:
        """Upper bound of an episode's length in steps, if there is one."""
        return self.truncation

    @property
    def truncation(self) -> int | None:
        """Number of steps after which an episode is cut (truncated, not terminated), if any."""
        return None

    @abstractmethod
    def choice_spec(self) -> ChoiceSpec:
        """Return what an algorithm may assume of the user's choice."""

    @property
    def attended(self) -> int:
        """Number of leading slate positions that the user looks at."""
        return min(self.choice_spec().attended or self.slate_size, self.slate_size)

    @property
    def order_matters(self) -> bool:
        """Whether the positions of a slate's documents make a difference to the user."""
        return self.attended > 1 and self.choice_spec().kind.endswith("cascade")

    @abstractmethod
    def response_space(self) -> spaces.Dict:
        """Return the space of one user's response: arrays of shape `[k]`, RecSim's field names."""

    @abstractmethod
    def document_bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the lowest and highest values of one document's features, each of shape `[F]`."""

    def user_bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the lowest and highest values of a user's features, each of shape `[U]`."""
        return np.full(self.user_features, -1.0), np.ones(self.user_features)

    @abstractmethod
    def native_env(self, num_envs: int, doc_format: str) -> SlateVectorEnv:
        """Build the vectorised implementation."""

    def recsim_problem(self) -> RecsimProblem[Any]:
        """Return how to build and read RecSim's own environment.

        Raises:
            ConfigError: the problem is not one of RecSim's.
        """
        raise ConfigError(f"env.backend=recsim is not available for env={self.name}; allowed: native")

    def make_vec(self, num_envs: int, *, doc_format: str = DENSE) -> SlateVectorEnv:
        """Build `num_envs` independent users that step together.

        Args:
            num_envs: number of users (N).
            doc_format: `dense` for float32 features `[N, C, F]`; `index` for the topic's number `[N, C]`, where
                documents are one-hot topics.

        Raises:
            ConfigError: `doc_format="index"` where documents are not one-hot.
        """
        require_choice("doc_format", doc_format, (DENSE, INDEX) if self.one_hot_docs else (DENSE,))
        if self.backend == NATIVE:
            return self.native_env(num_envs, doc_format)
        from recsys_cli.envs.recsim_backend import RecsimVectorEnv

        return RecsimVectorEnv(self, num_envs, doc_format)

    def observation_space(self, doc_format: str = DENSE) -> spaces.Dict:
        """Return one user's observation space: `user` [U], `doc` [C, F] or [C], `response` of [k] arrays."""
        if doc_format == INDEX:
            dtype = index_dtype(self.doc_features)
            doc = spaces.Box(0, self.doc_features - 1, (self.num_candidates,), dtype)
        else:
            low, high = (np.tile(bound, (self.num_candidates, 1)) for bound in self.document_bounds())
            doc = spaces.Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32)
        low, high = self.user_bounds()
        user = spaces.Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32)
        return spaces.Dict({"user": user, "doc": doc, "response": self.response_space()})


def index_dtype(num_topics: int) -> type[np.uint8] | type[np.int16]:
    """Return the dtype that holds a topic's number."""
    return np.uint8 if num_topics <= 256 else np.int16
