"""Session memory: running features of the user's past responses.

Only observations go in: no hidden state, no parameter of the user model. A policy defines its memory
(`SlatePolicy.new_memory`); whoever plays it keeps one `Memory` of the users and passes observations with the features
under `memory`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from recsys_cli.envs.spec import ProblemSpec

MemoryKind = Literal["none", "raw", "documents"]

# Totals of a whole session are of this size, the features then of order 1.
STEPS_UNIT, TIME_UNIT = 100.0, 400.0
FADING = 0.7  # weight that the fading mean keeps at every step; any time scale of a few steps will do


class Memory:
    """Remembers nothing; observations pass as they are."""

    evidence: NDArray[np.float32] | None = None
    """What the newest step said, `[N, X]`, if something is to learn how to remember it."""

    @property
    def kind(self) -> str | None:
        """A name that two memories share only if they remember the same things; None: no other does."""
        return None

    def extend(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        """Return the observation, with the features `[N, M]` as `memory` if there are any."""
        return dict(observation)

    def step(
        self, before: Mapping[str, Any], slates: np.ndarray, after: Mapping[str, Any], restarted: np.ndarray
    ) -> None:
        """Update from one env step of all users.

        Args:
            before: the observation acted on.
            slates: shown, `[N, k]`; -1 for no document.
            after: the next observation; its `response` is about `slates`.
            restarted: users whose step only began a new session (next-step autoreset), bool `[N]`: they are forgotten.
        """

    def restart(self) -> None:
        """Forget every user."""

    def get_state(self) -> dict[str, np.ndarray]:
        """Return what is remembered."""
        return {}

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore what `get_state` returned."""


class SessionMemory(Memory):
    """Remembers totals of the session: steps, clicks, summed quality of clicked documents, time watched.

    With `documents`, also what was shown and what was clicked: the mean features per step of each, and a fading mean of
    those clicked.
    """

    def __init__(self, spec: ProblemSpec, documents: bool, users: int) -> None:
        """Start with users of whom nothing is known.

        Args:
            spec: the problem.
            documents: whether to remember the documents themselves.
            users: N.
        """
        self.spec, self.users = spec, users
        self.totals: NDArray[np.float32] = np.zeros((users, 4), np.float32)
        # Shown, clicked, and clicked with a fading weight.
        shape = (users, 3, len(spec.documents))
        self.documents: NDArray[np.float32] | None = np.zeros(shape, np.float32) if documents else None

    @property
    def kind(self) -> str:
        """See `Memory.kind`."""
        return "raw" if self.documents is None else "documents"

    def extend(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        """See `Memory.extend`."""
        parts = [self.totals / UNITS]
        if self.documents is not None:
            per_step = self.documents.copy()
            per_step[:, :2] /= np.maximum(self.totals[:, :1, None], 1)
            parts.append(per_step.reshape(self.users, -1))
        return {**observation, "memory": np.concatenate(parts, axis=-1)}

    def step(
        self, before: Mapping[str, Any], slates: np.ndarray, after: Mapping[str, Any], restarted: np.ndarray
    ) -> None:
        """See `Memory.step`."""
        response = after["response"]
        self.totals += increments(response)
        self.totals[restarted] = 0
        if self.documents is not None:
            self._remember_documents(np.asarray(before["doc"]), slates, response["click"])
            self.documents[restarted] = 0

    def _remember_documents(self, doc: np.ndarray, slates: np.ndarray, click: np.ndarray) -> None:
        assert self.documents is not None
        shown = shown_documents(self.spec, doc, slates)
        clicked = np.einsum("nkf,nk->nf", shown, click)
        self.documents[:, 0] += shown.sum(1)
        self.documents[:, 1] += clicked
        self.documents[:, 2] = FADING * self.documents[:, 2] + (1 - FADING) * clicked

    def restart(self) -> None:
        """See `Memory.restart`."""
        self.totals[:] = 0
        if self.documents is not None:
            self.documents[:] = 0

    def get_state(self) -> dict[str, np.ndarray]:
        """See `Memory.get_state`."""
        state = {"totals": self.totals.copy()}
        return state if self.documents is None else {**state, "documents": self.documents.copy()}

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """See `Memory.set_state`."""
        self.totals[:] = state["totals"]
        if self.documents is not None:
            self.documents[:] = state["documents"]


def shown_documents(spec: ProblemSpec, doc: NDArray[Any], slates: NDArray[Any]) -> NDArray[Any]:
    """Return the features `[N, k, F]` of the documents at the positions `slates` `[N, k]`; zeros at -1."""
    shown = spec.documents.dense(doc[np.arange(len(slates))[:, None], slates])
    return shown * (slates >= 0)[..., None] if (slates < 0).any() else shown


UNITS = np.array([STEPS_UNIT, STEPS_UNIT, STEPS_UNIT, TIME_UNIT], np.float32)
TOTALS = len(UNITS)  # leading features of every memory


def increments(response: Mapping[str, np.ndarray]) -> NDArray[np.float32]:
    """Return what one step adds to the totals: a step, its clicks, their quality and the time watched, `[N, 4]`."""
    click = response["click"]
    added = np.zeros((len(click), len(UNITS)), np.float32)
    added[:, 0], added[:, 1] = 1, click.sum(-1)
    for column, names in ((2, ("quality",)), (3, ("watch_time", "engagement"))):
        for name in names:
            if name in response:
                added[:, column] += (response[name] * click).sum(-1)
    return added


def memory_features(kind: MemoryKind, spec: ProblemSpec) -> int:
    """Return the number of features M of a memory."""
    return {"none": 0, "raw": 4, "documents": 4 + 3 * len(spec.documents)}[kind]


def new_memory(kind: MemoryKind, spec: ProblemSpec, users: int) -> Memory:
    """Return the memory of users at the start of a session."""
    return Memory() if kind == "none" else SessionMemory(spec, kind == "documents", users)
