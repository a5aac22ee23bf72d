"""A simulator of your own: items and users as vectors, softmax choice, a reward relative to the best item on offer.

Two classes are all it takes: `EmbeddingFeedConfig` holds the keys of `env/embedding_feed.yaml` and what an algorithm
may know, `EmbeddingFeedVectorEnv` simulates N users in lock-step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from recsys_cli.config.ranges import Count, Positive, Seed
from recsys_cli.envs import choice_models
from recsys_cli.envs.base import ChoiceSpec, EnvConfig
from recsys_cli.envs.checks import require
from recsys_cli.envs.slate_space import random_slates
from recsys_cli.envs.vector import DENSE, Advance, Rows, SlateVectorEnv

Floats = NDArray[np.float32]


@dataclass
class EmbeddingFeedConfig(EnvConfig):
    """A feed of items for users with a limited time.

    User and item are vectors u, d of `num_features` numbers, an item's score is s = u . d. Of a slate the user clicks
    item i with probability exp(s_i) / (exp(no_click_mass) + sum exp(s)), else none. The reward of a click is
    1 - regret, where regret = 1 - exp(s_i - s_best) is what the clicked item misses of the best *candidate*, shown or
    not; without a click it is 0. A session ends when the time is used up.

    Attributes:
        num_features: length of the vectors (E).
        no_click_mass: logit of not clicking.
        time_budget: time of a session.
        click_time: time that a click takes.
        no_click_time: time that looking without clicking takes.
        items_in_db: size of the item database; None: every item is new.
        users_in_db: size of the user database; None: every user is new.
        db_seed: seed of both databases.
    """

    num_features: Count
    no_click_mass: float
    time_budget: Positive
    click_time: Positive
    no_click_time: Positive
    items_in_db: Count | None
    users_in_db: Count | None
    db_seed: Seed

    def __post_init__(self) -> None:
        """Check what takes more than one key; a `ConfigError` becomes one line on the command line."""
        super().__post_init__()
        require(
            self.items_in_db is None or self.items_in_db >= self.num_candidates,
            f"env.items_in_db={self.items_in_db} must be >= env.num_candidates={self.num_candidates}, or null",
        )

    @property
    def user_features(self) -> int:
        """The user's vector is seen."""
        return self.num_features

    @property
    def doc_features(self) -> int:
        """The item's vector is seen."""
        return self.num_features

    def choice_spec(self) -> ChoiceSpec:
        """Softmax over user . item, both observed, so that algorithms may know the choice model."""
        return ChoiceSpec(kind=choice_models.LOGIT, observable=True, no_click_mass=self.no_click_mass)

    def document_bounds(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Entries from -1 to 1; so are a user's, which is `user_bounds` as it stands."""
        return np.full(self.num_features, -1.0), np.ones(self.num_features)

    def response_space(self) -> spaces.Dict:
        """`click`, and `quality`: the reward that a click on the shown item brings, clicked or not."""
        return spaces.Dict(
            {
                "click": spaces.MultiBinary(self.slate_size),
                "quality": spaces.Box(0.0, 1.0, (self.slate_size,), np.float32),
            }
        )

    def native_env(self, num_envs: int, doc_format: str) -> EmbeddingFeedVectorEnv:
        """Build the users."""
        return EmbeddingFeedVectorEnv(self, num_envs, doc_format)


class EmbeddingFeedVectorEnv(SlateVectorEnv):
    """N users in lock-step; spaces, checks, autoreset, seeds and saved states come from `SlateVectorEnv`."""

    # What a user in the middle of a session consists of: saved in checkpoints, so that a resumed training goes on.
    state_arrays: ClassVar[tuple[str, ...]] = ("_users", "_budget", "_items")
    config: EmbeddingFeedConfig

    def __init__(self, config: EmbeddingFeedConfig, num_envs: int, doc_format: str = DENSE) -> None:
        """Make room for the users and their candidates, and draw the databases."""
        super().__init__(config, num_envs, doc_format)
        self._spec = config.choice_spec()
        self._users = np.zeros((num_envs, config.num_features), np.float32)
        self._budget = np.zeros(num_envs)
        self._items = np.zeros((num_envs, config.num_candidates, config.num_features), np.float32)
        # Of the configuration's seed alone: training and evaluation meet the same items and users.
        items, users = (np.random.default_rng(s) for s in np.random.SeedSequence(config.db_seed).spawn(2))
        self._item_db = None if config.items_in_db is None else self._vectors(items, config.items_in_db)
        self._user_db = None if config.users_in_db is None else self._vectors(users, config.users_in_db)

    def _vectors(self, rng: np.random.Generator, *shape: int) -> Floats:
        return 2 * rng.random((*shape, self.config.num_features), dtype=np.float32) - 1

    def _start(self, rows: Rows) -> None:
        if self._user_db is None:
            self._users[rows] = self._vectors(self.rng, rows.size)
        else:
            self._users[rows] = self._user_db[self.rng.integers(len(self._user_db), size=rows.size)]
        self._budget[rows] = self.config.time_budget

    def _draw_candidates(self) -> None:
        users, candidates, _ = self._items.shape
        if self._item_db is None:
            self._items = self._vectors(self.rng, users, candidates)
        else:  # no item twice among a user's candidates
            self._items = self._item_db[random_slates(self.rng, users, len(self._item_db), candidates)]

    def _advance(self, slates: NDArray[np.intp], active: NDArray[np.bool_] | None) -> Advance:
        scores = np.einsum("ne,nce->nc", self._users, self._items)
        shown = np.take_along_axis(scores, slates, axis=1)
        quality = np.exp(shown - scores.max(axis=1, keepdims=True))  # 1 - regret
        choice = choice_models.choose(self._spec, shown, self.rng.random(self.num_envs, dtype=np.float32))

        clicks = choice[:, None] == np.arange(slates.shape[1])  # position k, no click, is none of these
        clicked = clicks.any(axis=1)
        self._budget = self._budget - np.where(clicked, self.config.click_time, self.config.no_click_time)

        response = self._no_response()
        response["click"][:] = clicks
        response["quality"][:] = quality
        reward = (quality * clicks).sum(axis=1, dtype=np.float64)
        return response, reward, self._budget <= 0

    def _user(self) -> Floats:
        return self._users.copy()

    def _documents(self) -> Floats:
        return self._items.copy()

    def hidden_state(self) -> dict[str, NDArray[Any]]:
        """Return `budget` `[N]`, the time left, which no policy sees."""
        return {"budget": self._budget.copy()}
