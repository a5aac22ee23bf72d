"""Features in which the value of a click, or of none, is linear; and the session's budget, learned from its ends.

With interests I and B minutes left, an interest evolution session is worth a polynomial of B times sums over topics of
I and I^2 (`policies.oracle._session_value`). These features have that form, for any problem: the document clicked, the
user, and what is left of the session.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.envs.spec import are_numbers
from recsys_cli.policies.click_models import ConditionalLogit
from recsys_cli.policies.memory import TOTALS

if TYPE_CHECKING:
    from recsys_cli.envs.spec import ProblemSpec

Floats = NDArray[np.float64]

BUDGET_RIDGE = 1e-5  # small: sessions that end at a limit are separable, and then the boundary is sharp
LEAST_ENDS = 10  # ended sessions from which a budget is learned
LEAST_GAIN = 1.0  # nats a session by which the budget must predict its end better than a constant rate does
MOST_SQUARES = 128  # user features up to which their squares are features too
MOST_PRODUCTS = 64


def fit_budget(totals: NDArray[Any], ended: NDArray[np.bool_]) -> Floats | None:
    """Learn when sessions end: a weighted sum of the session's totals, 1 at its start and 0 where it ends.

    A logistic regression of the end on the totals. Its boundary is what the user's patience or time is measured in, be
    that minutes, clicks or steps.

    Args:
        totals: the memory's leading features after each step, `[n, 4]`.
        ended: whether the session ended with the step, `[n]`.

    Returns:
        Weights `[5]` of 1 and the totals; None if too few sessions end, or if their totals do not tell when.
    """
    ends = int(ended.sum())
    if ends < LEAST_ENDS:
        return None
    x = np.concatenate([np.ones((len(totals), 1)), totals], axis=1)
    logit = ConditionalLogit(x.shape[1], BUDGET_RIDGE)
    logit.learn(x[:, None], np.where(ended, 0, 1))
    score = x @ logit.weights
    found = np.logaddexp(0, np.where(ended, -score, score)).sum()
    rate = ends / len(x)
    constant = -(ends * np.log(rate) + (len(x) - ends) * np.log1p(-rate)) if rate < 1 else 0.0
    start = logit.weights[0]
    return logit.weights / start if start < 0 and constant - found > LEAST_GAIN * ends else None


class ValueFeatures:
    """Features of a click on each candidate, and of none, in the user's session so far.

    With B what is left of the session's budget, or the session's totals if no budget is known; I = user . document if
    they have as many features; and d the document's features (with their squares unless it is its topic, one-hot):

        (1, no click, I, I^2) x (1, B, B^2)   (d, d I, d I^2)   (user, user^2, memory, memory^2) x (1, B)

    and d x what the memory holds besides totals, if those are few. Totals are not squared.

    Attributes:
        size: number of features P. The first is a constant 1.
        free: leading features that depend on nothing but the session so far.
    """

    def __init__(
        self, spec: ProblemSpec, remembered: int, budget: NDArray[Any] | None = None, *, totals: bool = True
    ) -> None:
        """Take the problem.

        Args:
            spec: the problem; the number of candidates is free.
            remembered: features M of the memory in observations: 0, or session totals first.
            budget: what `fit_budget` returned.
            totals: whether the session's totals are features beside the budget.
        """
        self.documents, self.budget = spec.documents, None if budget is None else np.asarray(budget, np.float64)
        user, width = len(spec.user), len(spec.documents)
        self.powers = 3 if spec.interests == width > 0 else 1  # of the affinity
        self.squared = user <= MOST_SQUARES
        self.width = width if spec.documents.one_hot else 2 * width
        more = max(remembered - TOTALS, 0)
        self.crossed = 0 < more * self.width <= MOST_PRODUCTS
        limited = remembered > 0 and budget is not None
        about, at = (2, 3) if limited else (1 + TOTALS * (remembered > 0),) * 2
        self.beside = remembered if limited and totals else more  # features of the memory beside what is left
        self.blocks = (
            (self.powers + 1, at),
            (self.powers, self.width),
            (user * (1 + self.squared) + self.beside + more, about),
            (more * self.crossed, self.width),
        )
        self.free = at
        self.size = sum(rows * columns for rows, columns in self.blocks)

    def expected(self, observation: Mapping[str, Any], p: Floats) -> Floats:
        """Return the mean features `[n, P]` of a step in which candidates are clicked with probabilities `p`.

        Args:
            observation: `user` [n, U], `doc` [n, C, F] or numbers [n, C], and `memory` [n, M] if there is one.
            p: `[n, C + 1]`, none last.
        """
        about, at, state, more = self._state(observation)
        clicks, none = p[:, :-1], p[:, -1:]
        weights = [clicks, *(clicks * power for power in self._affinity(observation))]
        ones = np.ones_like(none)
        moments = np.concatenate([ones, none, *(weight.sum(1, keepdims=True) for weight in weights[1:])], axis=1)
        documents = [self._mean_document(observation["doc"], weight) for weight in weights]
        parts = [_products(moments, at), *documents, _products(state, about)]
        if self.crossed:
            parts.append(_products(more, documents[0]))
        return np.concatenate(parts, axis=1)

    def of(self, observation: Mapping[str, Any], candidate: NDArray[np.int64]) -> Floats:
        """Return the features `[n, P]` of a click on one candidate each, `[n]`; C for none."""
        users, candidates = observation["doc"].shape[:2]
        p = np.zeros((users, candidates + 1))
        p[np.arange(users), candidate] = 1.0
        return self.expected(observation, p)

    def values(self, observation: Mapping[str, Any], weights: Floats) -> tuple[Floats, Floats]:
        """Return the values of a click on each candidate, `[n, C]`, and of none, `[n]`, given weights `[P]`."""
        about, at, state, more = self._state(observation)
        ends = np.cumsum([rows * columns for rows, columns in self.blocks])[:-1]
        parts = [part.reshape(shape) for part, shape in zip(np.split(weights, ends), self.blocks, strict=True)]
        level = at @ parts[0].T
        common = level[:, 0] + ((state @ parts[2]) * about).sum(1)
        q = np.repeat(common[:, None], observation["doc"].shape[1], axis=1)
        by_document = [self._of_documents(observation["doc"], each) for each in parts[1]]
        q += by_document[0]
        for power, term, each in zip(self._affinity(observation), level.T[2:], by_document[1:], strict=True):
            q += power * (term[:, None] + each)
        if self.crossed:
            q += np.einsum("nce,ne->nc", self._described(observation["doc"]), more @ parts[3])
        return q, common + level[:, 1]

    def _state(self, observation: Mapping[str, Any]) -> tuple[Floats, Floats, Floats, Floats]:
        """Return (1, B) `[n, .]`, (1, B, B^2, totals) `[n, .]`, user and rest of the memory, and the latter alone."""
        user = np.asarray(observation["user"], np.float64)
        ones, memory = np.ones((len(user), 1)), observation.get("memory")
        memory = np.zeros((len(user), 0)) if memory is None else np.asarray(memory, np.float64)
        totals, more = np.split(memory, [TOTALS], axis=1)
        about = at = np.concatenate([ones, totals], axis=1)
        if self.budget is not None and totals.shape[1]:
            left = at @ self.budget[:, None]
            about, at = np.concatenate([ones, left], axis=1), np.concatenate([ones, left, left**2], axis=1)
        state = [user, user**2] if self.squared else [user]
        state += [memory[:, memory.shape[1] - self.beside :], more**2]
        return about, at, np.concatenate(state, axis=1), more

    def _affinity(self, observation: Mapping[str, Any]) -> list[Floats]:
        """Return the affinity of the candidates and its square, `[n, C]` each; nothing if there is none."""
        if self.powers == 1:
            return []
        user, doc = np.asarray(observation["user"], np.float64), np.asarray(observation["doc"])
        if self._numbered(doc):
            affinity = np.take_along_axis(user, doc.astype(np.int64), axis=1)
        else:
            dense = self.documents.dense(doc)
            affinity = np.einsum("ncf,nf->nc", dense, user[:, : dense.shape[2]])
        return [affinity, affinity**2]

    def _numbered(self, doc: NDArray[Any]) -> bool:
        """Whether documents are numbers of topics that stand for one-hot features."""
        return self.documents.one_hot and self.documents.items is None and are_numbers(doc)

    def _described(self, doc: NDArray[Any]) -> Floats:
        """Return the documents as vectors, `[n, C, E]`."""
        dense = self.documents.dense(np.asarray(doc)).astype(np.float64)
        return dense if self.documents.one_hot else np.concatenate([dense, dense**2], axis=-1)

    def _mean_document(self, doc: NDArray[Any], weight: Floats) -> Floats:
        """Return the documents' weighted sum, `[n, E]`, by weights `[n, C]`."""
        if not self._numbered(doc):
            return np.einsum("nce,nc->ne", self._described(doc), weight)
        flat = (np.arange(len(doc))[:, None] * self.width + doc.astype(np.int64)).reshape(-1)
        sums: Floats = np.bincount(flat, weight.reshape(-1), len(doc) * self.width).astype(np.float64)
        return sums.reshape(len(doc), self.width)

    def _of_documents(self, doc: NDArray[Any], weights: Floats) -> Floats:
        """Return the documents' inner products with weights `[E]`, `[n, C]`."""
        return weights[doc] if self._numbered(doc) else self._described(doc) @ weights


def _products(left: Floats, right: Floats) -> Floats:
    """Return all products of the features of both, row by row."""
    return (left[:, :, None] * right[:, None, :]).reshape(len(left), -1)
