"""What a policy may remember of a session: running features of the user's past responses.

Only what was observed goes in: no hidden state, no parameter of the user model. A policy says what it wants to remember
(`SlatePolicy.new_history`); whoever plays it keeps one `History` of the users played and hands the policy observations
whose `user` has the features appended.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from recsys_cli.envs.base import EnvConfig

HistoryKind = Literal["none", "raw", "documents"]

# Totals of a whole session are of this size, the features then of order 1.
STEPS_UNIT, TIME_UNIT = 100.0, 400.0
FADING = 0.7  # weight that the fading mean keeps at every step; any time scale of a few steps will do


class History:
    """Remembers nothing; observations pass as they are."""

    def extend(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        """Return the observation with the features appended to `user`."""
        return dict(observation)

    def step(
        self, before: Mapping[str, Any], slates: np.ndarray, after: Mapping[str, Any], restarted: np.ndarray
    ) -> None:
        """Take in one env step of all users.

        Args:
            before: the observation acted on.
            slates: what was shown, `[N, k]`.
            after: the observation that came of it; its `response` is about `slates`.
            restarted: users whose step only began a new session (next-step autoreset), bool `[N]`: they are forgotten.
        """

    def restart(self) -> None:
        """Forget every user."""

    def get_state(self) -> dict[str, np.ndarray]:
        """Return what is remembered."""
        return {}

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Take back what `get_state` returned."""


class SessionHistory(History):
    """Remembers totals of the session: steps, clicks, summed quality of clicked documents, time watched.

    With `documents`, also what was shown and what was clicked: the mean features per step of each, and a fading mean of
    those clicked.
    """

    def __init__(self, doc_features: int, documents: bool, users: int) -> None:
        """Begin with users of whom nothing is known.

        Args:
            doc_features: F.
            documents: whether the documents themselves are remembered.
            users: N.
        """
        self.doc_features, self.users = doc_features, users
        self.totals: NDArray[np.float32] = np.zeros((users, 4), np.float32)
        # Shown, clicked, and clicked with a fading weight.
        self.documents: NDArray[np.float32] | None = (
            np.zeros((users, 3, doc_features), np.float32) if documents else None
        )

    def extend(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        """See `History.extend`."""
        parts = [observation["user"], self.totals / _UNITS]
        if self.documents is not None:
            per_step = self.documents.copy()
            per_step[:, :2] /= np.maximum(self.totals[:, :1, None], 1)
            parts.append(per_step.reshape(self.users, -1))
        return {**observation, "user": np.concatenate(parts, axis=-1)}

    def step(
        self, before: Mapping[str, Any], slates: np.ndarray, after: Mapping[str, Any], restarted: np.ndarray
    ) -> None:
        """See `History.step`."""
        response = after["response"]
        click = response["click"]
        self.totals[:, 0] += 1
        self.totals[:, 1] += click.sum(-1)
        for column, names in ((2, ("quality",)), (3, ("watch_time", "engagement"))):
            for name in names:
                if name in response:
                    self.totals[:, column] += (response[name] * click).sum(-1)
        self.totals[restarted] = 0
        if self.documents is not None:
            self._remember_documents(np.asarray(before["doc"]), slates, click)
            self.documents[restarted] = 0

    def _remember_documents(self, doc: np.ndarray, slates: np.ndarray, click: np.ndarray) -> None:
        assert self.documents is not None
        shown = doc[np.arange(self.users)[:, None], slates]
        if doc.ndim == 2:
            shown = np.eye(self.doc_features, dtype=np.float32)[shown]
        clicked = np.einsum("nkf,nk->nf", shown, click)
        self.documents[:, 0] += shown.sum(1)
        self.documents[:, 1] += clicked
        self.documents[:, 2] = FADING * self.documents[:, 2] + (1 - FADING) * clicked

    def restart(self) -> None:
        """See `History.restart`."""
        self.totals[:] = 0
        if self.documents is not None:
            self.documents[:] = 0

    def get_state(self) -> dict[str, np.ndarray]:
        """See `History.get_state`."""
        state = {"totals": self.totals.copy()}
        return state if self.documents is None else {**state, "documents": self.documents.copy()}

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """See `History.set_state`."""
        self.totals[:] = state["totals"]
        if self.documents is not None:
            self.documents[:] = state["documents"]


_UNITS = np.array([STEPS_UNIT, STEPS_UNIT, STEPS_UNIT, TIME_UNIT], np.float32)


def history_features(kind: HistoryKind, env: EnvConfig) -> int:
    """Return how many features a history appends to `user`."""
    return {"none": 0, "raw": 4, "documents": 4 + 3 * env.doc_features}[kind]


def new_history(kind: HistoryKind, env: EnvConfig, users: int) -> History:
    """Return the history of users who begin their sessions."""
    return History() if kind == "none" else SessionHistory(env.doc_features, kind == "documents", users)
