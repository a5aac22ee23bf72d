"""A simulator of your own: items and users as vectors, softmax choice, a reward relative to the best item on offer.

Two classes are all it takes: `EmbeddingFeedConfig` holds the keys of `env/embedding_feed.yaml` and what an algorithm
may know, `EmbeddingFeedVectorEnv` simulates N users in lock-step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from recsys_cli.config.ranges import Count, Positive, Seed
from recsys_cli.envs import choice_models
from recsys_cli.envs.base import EnvConfig
from recsys_cli.envs.checks import require
from recsys_cli.envs.spec import DENSE, INDEX, ChoiceSpec, Documents, Features, ProblemSpec, ResponseField
from recsys_cli.envs.vector import Advance, Rows, SlateVectorEnv
from recsys_cli.slates.uniform import uniform_slates

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
            self.items_in_db is None or self.items_in_db >= self.candidates[1],
            f"env.items_in_db={self.items_in_db} must be >= env.num_candidates={self.candidates[1]}, or null",
        )

    def describe(self) -> ProblemSpec:
        """The vectors of user and items are seen, entries from -1 to 1, so that algorithms may know the choice model.

        Observed of every item shown, clicked or not, is the reward that a click on it brings: `quality`.
        """
        items = None if self.items_in_db is None else self.vectors(self.items_in_db, stream=0)
        return self.problem_spec(
            user=Features.of(self.num_features),
            documents=Documents(Features.of(self.num_features), items=items),
            response=(ResponseField("click"), ResponseField("quality", "number", 0.0, 1.0)),
            choice=ChoiceSpec(choice_models.LOGIT, observable=True, no_click_mass=self.no_click_mass),
            reward="quality",
        )

    def vectors(self, number: int, stream: int) -> Floats:
        """Return a database of `number` vectors, `[number, E]`: 0, of items, or 1, of users.

        It comes of the configuration's seed alone: training and evaluation meet the same items and users.
        """
        rng = np.random.default_rng(np.random.SeedSequence(self.db_seed).spawn(2)[stream])
        return 2 * rng.random((number, self.num_features), dtype=np.float32) - 1

    def native_env(self, num_envs: int, doc_format: str) -> EmbeddingFeedVectorEnv:
        """Build the users."""
        return EmbeddingFeedVectorEnv(self, num_envs, doc_format)


class EmbeddingFeedVectorEnv(SlateVectorEnv):
    """N users in lock-step; spaces, checks, autoreset, seeds and saved states come from `SlateVectorEnv`."""

    # What a user in the middle of a session consists of: saved in checkpoints, so that a resumed training goes on.
    state_arrays: ClassVar[tuple[str, ...]] = ("_users", "_budget", "_items", "_numbers")
    config: EmbeddingFeedConfig

    def __init__(self, config: EmbeddingFeedConfig, num_envs: int, doc_format: str = DENSE) -> None:
        """Make room for the users and their candidates, and draw the databases."""
        super().__init__(config, num_envs, doc_format)
        self._users = np.zeros((num_envs, config.num_features), np.float32)
        self._budget = np.zeros(num_envs)
        # Of the item database the numbers are kept too: they are what `doc_format="index"` shows.
        self._item_db = self.problem.documents.items
        self._items = np.zeros((num_envs, self.problem.width, config.num_features), np.float32)
        self._numbers = np.zeros((num_envs, self.problem.width), np.int64)
        self._user_db = None if config.users_in_db is None else config.vectors(config.users_in_db, stream=1)

    def _vectors(self, *shape: int) -> Floats:
        return 2 * self.rng.random((*shape, self.config.num_features), dtype=np.float32) - 1

    def _start(self, rows: Rows) -> None:
        if self._user_db is None:
            self._users[rows] = self._vectors(rows.size)
        else:
            self._users[rows] = self._user_db[self.rng.integers(len(self._user_db), size=rows.size)]
        self._budget[rows] = self.config.time_budget

    def _draw_candidates(self) -> None:
        if self._item_db is None:
            self._items = self._vectors(self.num_envs, self.problem.width)
        else:  # no item twice among a user's candidates
            self._numbers = uniform_slates(self.rng, self.num_envs, len(self._item_db), self.problem.width)
            self._items = self._item_db[self._numbers]

    def _advance(self, slates: NDArray[np.intp], active: NDArray[np.bool_] | None) -> Advance:
        scores = np.einsum("ne,nce->nc", self._users, self._items)
        if self._mask is not None:
            scores[~self._mask] = -np.inf
        of_slate = np.take_along_axis(scores, slates, axis=1)
        quality = np.exp(of_slate - scores.max(axis=1, keepdims=True))  # 1 - regret
        uniform = self.rng.random(self.num_envs, dtype=np.float32)
        choice = choice_models.choose(self.problem.choice, of_slate, uniform, self._shown(slates))

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

    def _documents(self) -> NDArray[Any]:
        if self.doc_format == INDEX:
            return self._numbers.astype(self.problem.documents.number_dtype)
        return self._items.copy()

    def hidden_state(self) -> dict[str, NDArray[Any]]:
        """Return `budget` `[N]`, the time left, which no policy sees."""
        return {"budget": self._budget.copy()}
