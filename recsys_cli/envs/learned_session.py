"""What a learned user's behaviour may depend on: features of user, document and the session so far, in named blocks.

The session so far is one array `[N, M]`, updated from what the log has too, so that it can be computed from the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.envs.spec import ProblemSpec

Floats = NDArray[np.float64]

RATES = (0.5, 0.8, 0.95)  # weights that the fading means of clicked documents keep at every step
FEW = 3  # features of a document up to which the fading means enter feature by feature
MAX_FADING = 64  # features of a document up to which there are fading means
MAX_PRODUCTS = 100  # products of user and document features; more are left out


@dataclass
class Context:
    """What is known of n users and m documents each, before they respond.

    Attributes:
        user: `[n, U]`.
        doc: dense features, `[n, m, F]`.
        session: the session so far, `[n, M]` (see `Basis.restart`).
        fields: response fields already drawn of these documents, `[n, m, f]`; None if there are none.
    """

    user: NDArray[Any]
    doc: NDArray[Any]
    session: Floats
    fields: Floats | None = None


@dataclass(frozen=True)
class Basis:
    """Makes features of contexts, by blocks.

    `one`: 1; `item`: the document's features; `match`: user . document and hinges of it; `user`; `products`: of user
    and document features (of the same topic, if both have one entry a topic); `totals`: steps, clicks and the summed
    response fields of the session; `curves`: their squares; `last`: whether the last slate was clicked, and its fields;
    `recent`: fading means of the clicked documents, by document or on their own; `position`; `fields`: response fields.

    Attributes:
        spec: the problem.
        knots: of the hinges, `[H]`.
        centre: mean features of a document, `[F]`: fading means are of what differs from it, so that a session that
            has just begun is like one of average documents.
    """

    spec: ProblemSpec
    knots: Floats
    centre: Floats

    @cached_property
    def counted(self) -> tuple[str, ...]:
        """Response fields that add up over a session."""
        return tuple(each.name for each in self.spec.response if each.kind != "category" and each.name != "click")

    @property
    def aligned(self) -> bool:
        """Whether user and document features are about the same things."""
        return 0 < len(self.spec.user) == len(self.spec.documents)

    @property
    def _fading(self) -> int:
        size = len(self.spec.documents)
        return size if size <= MAX_FADING else 0

    @cached_property
    def _parts(self) -> tuple[slice, slice, slice]:
        counted, recent = len(self.counted), len(RATES) * self._fading
        edges = np.cumsum([0, 2 + counted, 1 + counted, recent])
        totals, last, fading = (slice(int(a), int(b)) for a, b in pairwise(edges))
        return totals, last, fading

    def restart(self, users: int) -> Floats:
        """Return sessions that have just begun, `[users, M]`."""
        return np.zeros((users, self._parts[-1].stop))

    def update(self, session: Floats, rows: NDArray[Any], doc: NDArray[Any], values: Floats) -> None:
        """Add one step of all users in place.

        Args:
            session: `[N, M]`.
            rows: users who clicked, `[n]`.
            doc: the documents clicked, `[n, F]`.
            values: their response fields, `[n, f]`, by `counted`.
        """
        totals, last, recent = (session[:, part] for part in self._parts)
        totals[:, 0] += 1
        totals[rows, 1] += 1
        last[:] = 0
        last[rows, 0] = 1
        if self.counted:
            totals[rows, 2:] += values
            last[rows, 1:] = values
        for i, rate in enumerate(RATES if self._fading else ()):
            of_rate = recent[:, i * self._fading : (i + 1) * self._fading]
            of_rate *= rate
            of_rate[rows] += (1 - rate) * (doc - self.centre)

    def blocks(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return those of some blocks that have any features here."""
        users, docs, slots = len(self.spec.user), len(self.spec.documents), self.spec.slate_size
        there = {
            "item": docs > 0,
            "match": self.aligned,
            "user": users > 0,
            "products": users > 0 and docs > 0 and (self._by_topic or users * docs <= MAX_PRODUCTS),
            "recent": self._fading > 0,
            "position": slots > 1,
            "fields": True,
        }
        return tuple(name for name in names if there.get(name, True))

    @property
    def _by_topic(self) -> bool:
        return self.aligned and self.spec.documents.one_hot

    def __call__(self, names: tuple[str, ...], context: Context) -> Floats:
        """Return the features `[n, m, P]` of some blocks, `one` first."""
        n, m = context.doc.shape[:2]
        parts = [np.broadcast_to(part, (n, m, part.shape[-1])) for name in names for part in self._block(name, context)]
        return np.concatenate(parts, axis=-1, dtype=np.float64)

    def _block(self, name: str, context: Context) -> list[NDArray[Any]]:
        """Return the parts of a block, `[n or 1, m or 1, p]` each."""
        totals, last, _ = self._parts
        session, doc = context.session[:, None], context.doc
        simple: dict[str, Callable[[], NDArray[Any]]] = {
            "one": lambda: np.ones((1, 1, 1)),
            "item": lambda: doc,
            "user": lambda: context.user[:, None],
            "products": lambda: self._products(context),
            "totals": lambda: session[..., totals],
            "curves": lambda: np.square(session[..., totals]),
            "last": lambda: session[..., last],
            "position": lambda: np.eye(doc.shape[1], self.spec.slate_size - 1, k=-1)[None],
        }
        if name in simple:
            return [simple[name]()]
        if name == "match":
            score = (context.user[:, None] * doc).sum(-1, keepdims=True)
            return [score, np.maximum(score - self.knots, 0.0)]
        if name == "recent":
            return self._recent(context)
        assert name == "fields" and context.fields is not None, name
        return [context.fields]

    def _products(self, context: Context) -> NDArray[Any]:
        user, doc = context.user[:, None], context.doc
        if self._by_topic:
            return np.asarray(user * doc)
        return np.asarray((user[..., :, None] * doc[..., None, :]).reshape(*doc.shape[:2], -1))

    def _recent(self, context: Context) -> list[NDArray[Any]]:
        fading = context.session[:, self._parts[2]].reshape(len(context.session), len(RATES), -1)
        if fading.shape[2] > FEW:
            return [np.einsum("nmf,nrf->nmr", context.doc, fading)]
        products = fading[:, None, :, :, None] * context.doc[:, :, None, None, :]
        return [fading.reshape(len(fading), 1, -1), products.reshape(*context.doc.shape[:2], -1)]
