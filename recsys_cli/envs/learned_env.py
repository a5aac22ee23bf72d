"""Users learned from a log, vectorised."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from recsys_cli.envs.learned import LearnedProblem
from recsys_cli.envs.learned_laws import TopicDrift
from recsys_cli.envs.learned_session import Context
from recsys_cli.envs.sampling import draw_topics
from recsys_cli.envs.spec import DENSE, INDEX
from recsys_cli.envs.vector import Advance, Response, Rows, SlateVectorEnv


class LearnedVectorEnv(SlateVectorEnv):
    """N users in lock-step who do as those of the log did; see `SlateVectorEnv` for the interface.

    Their hidden state is their class, if the choice has several, and the session so far, of which only policies with
    a memory know anything.
    """

    state_arrays: ClassVar[tuple[str, ...]] = ("_users", "_kinds", "_session", "_offered", "_set")
    config: LearnedProblem

    def __init__(self, config: LearnedProblem, num_envs: int, doc_format: str = DENSE) -> None:
        """Make room for the users."""
        super().__init__(config, num_envs, doc_format)
        self._model = model = config.model
        self._basis = model.basis
        self._kind_edges = np.cumsum(model.choice.shares).astype(np.float32)
        offers = model.offers
        # Sets as logged if the sizes are the log's; documents of all sets, independently, if not.
        self._as_logged = self.problem.width == offers.sets.shape[1] and self.problem.varying == (
            offers.counts is not None
        )
        self._pool = offers.pool
        self._users = np.zeros((num_envs, len(model.spec.user)), np.float32)
        self._kinds = np.zeros(num_envs, np.uint8)
        self._session = self._basis.restart(num_envs)
        self._set = np.zeros(num_envs, np.int64)
        self._offered = self._pool[np.zeros((num_envs, self.problem.width), np.intp)]
        self._number = {name: i for i, name in enumerate(self._basis.counted)}

    def _start(self, rows: Rows) -> None:
        self._users[rows] = self._model.start.draw(rows.size, self.problem, self.rng)
        self._kinds[rows] = draw_topics(self.rng, self._kind_edges, rows.size)
        self._session[rows] = 0

    def _draw_candidates(self) -> None:
        offers = self._model.offers
        if self._as_logged:
            self._set = self.rng.integers(len(offers.sets), size=self.num_envs)
            self._offered = offers.sets[self._set]
        else:
            self._offered = self._pool[self.rng.integers(len(self._pool), size=self._offered.shape[:2])]

    def _offer(self) -> None:
        super()._offer()
        if self._as_logged and self._model.offers.counts is not None:
            there = self._model.offers.counts[self._set]
            self._mask = np.arange(self.problem.width) < there[:, None]

    def _advance(self, slates: NDArray[np.intp], active: NDArray[np.bool_] | None) -> Advance:
        everyone = np.arange(self.num_envs)
        shown = self._offered[everyone[:, None], slates]
        doc = self.problem.documents.dense(shown)
        context = Context(self._users, doc, self._session)
        position = self._model.choice.draw(self._basis, context, self._kinds, self._shown(slates), self.rng)
        rows = np.flatnonzero(position < slates.shape[1])
        at = position[rows]
        response = self._no_response()
        response["click"][rows, at] = 1
        clicked = Context(self._users[rows], doc[rows, at][:, None], self._session[rows])
        reward = np.full(self.num_envs, self._model.reward.unclicked)
        values = self._respond(response, context, clicked, shown, rows, at, reward)
        before = self._users
        self._basis.update(self._session, rows, clicked.doc[:, 0], values)
        self._drift(rows, clicked.doc[:, 0], values)
        after = Context(before, np.zeros((self.num_envs, 1, doc.shape[2])), self._session)
        return response, reward, self._model.ending.draw(self._basis, after, self.rng)

    def _respond(
        self,
        response: Response,
        context: Context,
        clicked: Context,
        shown: NDArray[Any],
        rows: Rows,
        at: NDArray[np.intp],
        reward: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Fill in response and reward; return the response fields of the clicked documents, `[n, f]`."""
        values = np.zeros((rows.size, len(self._number)))
        clicked.fields = values[:, None]  # those drawn so far are known to those drawn later
        for field in self._model.fields:
            drawn: NDArray[Any] = np.zeros(shown.shape[:2])
            if field.of == "topic":
                drawn = self.problem.documents.topics_of(shown)
            elif field.of == "shown":
                assert field.amount is not None
                drawn = field.amount.draw(self._basis, context, self.rng)
            elif field.of == "clicked":
                assert field.amount is not None
                drawn[rows, at] = field.amount.draw(self._basis, clicked, self.rng)[:, 0]
            else:
                drawn[rows, at] = self._draw_reward(clicked, values)
                reward[rows] = drawn[rows, at]
                space = next(each for each in self.problem.response if each.name == field.name)
                drawn = np.clip(drawn, space.low, space.high)
            response[field.name] = drawn.astype(response[field.name].dtype)
            if field.name in self._number:
                values[:, self._number[field.name]] = drawn[rows, at]
        if not any(field.of == "reward" for field in self._model.fields):
            reward[rows] = self._draw_reward(clicked, values)
        return values

    def _draw_reward(self, clicked: Context, values: NDArray[np.float64]) -> NDArray[np.float64]:
        law = self._model.reward
        if law.amount is not None:
            return law.amount.draw(self._basis, clicked, self.rng)[:, 0]
        return np.ones(len(values)) if law.field == "click" else values[:, self._number[str(law.field)]]

    def _drift(self, rows: Rows, doc: NDArray[Any], values: NDArray[np.float64]) -> None:
        law = self._model.drift
        if law is None:
            return
        low, high = self.problem.user.bounds
        users = self._users.copy()
        if isinstance(law, TopicDrift):
            topic = doc.argmax(axis=1)
            moved = users[rows, topic] + law.draw(users[rows, topic], values, self.rng)
            users[rows, topic] = np.clip(moved, low[topic], high[topic])
        else:
            full = [np.zeros((self.num_envs, part.shape[1])) for part in (doc, values)]
            full[0][rows], full[1][rows] = doc, values
            clicks = np.isin(np.arange(self.num_envs), rows, assume_unique=True)
            change = law.draw(law.features(users, clicks, *full), self.rng)
            users = np.clip(users + change, low, high).astype(np.float32)
        self._users = users

    def _user(self) -> NDArray[np.float32]:
        return self._users.copy()

    def _documents(self) -> NDArray[Any]:
        if self.doc_format == INDEX:
            return self._offered.astype(self.problem.documents.number_dtype)
        return self.problem.documents.dense(self._offered).astype(np.float32)

    def hidden_state(self) -> dict[str, NDArray[Any]]:
        """Return `kind` `[N]`, the users' class, and `set` `[N]`, the number of the log's set of candidates."""
        return {"kind": self._kinds.copy(), "set": self._set.copy()}
