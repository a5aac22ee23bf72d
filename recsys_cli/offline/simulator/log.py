"""A log as the laws of a simulator are fitted to it: one row a step, with the session before and after."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.config.errors import ConfigError
from recsys_cli.envs.learned_session import Basis, Context, Floats
from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.offline.steps import Steps

MAX_ITEMS = 60_000  # shown documents that one law is fitted to
HINGES = 8


@dataclass(frozen=True)
class Log:
    """n env steps of E whole sessions.

    Attributes:
        steps: valid rows only.
        basis: features of contexts.
        episode: session of each row, 0 to E - 1, `[n]`.
        shown: features of the shown documents, `[n, k, F]`; zeros at empty positions.
        filled: positions that hold a document, `[n, k]`.
        before: the session before each step, `[n, M]`.
        after: and after it.
        after_row: the row after each step in `steps` as logged, of which `next_user` is the user, `[n]`; -1: none.
        next_user: user features after the step, `[n, U]`; arbitrary if there is no row after it.
    """

    steps: Steps
    basis: Basis
    episode: NDArray[np.int64]
    shown: Floats
    filled: NDArray[np.bool_]
    before: Floats
    after: Floats
    after_row: NDArray[np.int64]
    next_user: NDArray[np.float32]

    @classmethod
    def of(cls, steps: Steps, spec: ProblemSpec, basis: Basis | None = None) -> Log:
        """Prepare the rows of a log.

        Args:
            steps: whole sessions.
            spec: the problem.
            basis: features of contexts; None: hinges are set by this log.

        Raises:
            ConfigError: several clicks a slate, or no response field that was logged.
        """
        check(steps, spec)
        after = steps.following()
        rows = np.flatnonzero(steps.valid)
        next_user = steps.user[after[rows]]
        valid = steps.take(rows)
        episode = np.repeat(np.arange(len(valid.starts)), valid.lengths)
        slate = valid.slate.astype(np.int64)
        filled = slate >= 0
        shown = spec.documents.dense(valid.doc[np.arange(len(valid))[:, None], slate]) * filled[..., None]
        basis = basis or _basis(spec, valid.user, shown, filled)
        before, later = sessions(valid, shown, basis)
        return cls(valid, basis, episode, shown, filled, before, later, after[rows], next_user)

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self.steps)

    @property
    def spec(self) -> ProblemSpec:
        """The problem."""
        return self.basis.spec

    def first(self, rows: int) -> Log:
        """Return the first sessions: at least one, of about so many rows."""
        kept = self.episode <= self.episode[min(rows, len(self)) - 1]
        names = ("episode", "shown", "filled", "before", "after", "after_row", "next_user")
        return replace(self, steps=self.steps.take(kept), **{name: getattr(self, name)[kept] for name in names})

    @property
    def sessions(self) -> int:
        """Number of sessions E."""
        return len(self.steps.starts)

    @cached_property
    def clicks(self) -> NDArray[np.int64]:
        """Rows with a click, `[c]`."""
        return np.flatnonzero(self.steps.clicked < self.spec.slate_size)

    @cached_property
    def clicked_doc(self) -> Floats:
        """Features of the clicked documents, `[c, F]`."""
        return np.asarray(self.shown[self.clicks, self.steps.clicked[self.clicks]])

    @cached_property
    def values(self) -> Floats:
        """Response fields of the clicked documents by `basis.counted`, `[c, f]`."""
        return clicked_values(self.steps, self.basis, self.clicks)

    def slates(self, rows: Any) -> Context:
        """Return the context of the slates of some rows."""
        return Context(self.steps.user[rows], self.shown[rows], self.before[rows])

    def clicked(self, known: list[str]) -> Context:
        """Return the contexts of the clicked documents; response fields that are not `known` are 0."""
        there = np.isin(self.basis.counted, known)
        fields = (self.values * there)[:, None]
        return Context(self.steps.user[self.clicks], self.clicked_doc[:, None], self.before[self.clicks], fields)

    def positions(self) -> tuple[Context, NDArray[np.int64], NDArray[np.int64]]:
        """Return the contexts of shown documents, one each, their rows and their positions; of large logs a sample."""
        rows, at = np.nonzero(self.filled)
        if len(rows) > MAX_ITEMS:
            some = np.sort(np.random.default_rng(0).choice(len(rows), MAX_ITEMS, replace=False))
            rows, at = rows[some], at[some]
        return Context(self.steps.user[rows], self.shown[rows, at][:, None], self.before[rows]), rows, at

    def ends(self) -> Context:
        """Return the contexts in which sessions may end, after each step."""
        nothing = np.zeros((len(self), 1, len(self.spec.documents)))
        return Context(self.steps.user, nothing, self.after)


def _basis(spec: ProblemSpec, user: Floats, shown: Floats, filled: NDArray[np.bool_]) -> Basis:
    centre = shown[filled].mean(0, dtype=np.float64)
    basis = Basis(spec, np.zeros(0), centre)
    if not basis.aligned:
        return basis
    match = np.einsum("nu,nku->nk", user, shown)[filled]
    return replace(basis, knots=np.unique(np.quantile(match, np.linspace(0.05, 0.95, HINGES))).astype(np.float64))


def check(steps: Steps, spec: ProblemSpec) -> None:
    """Refuse a log whose users cannot be simulated.

    Raises:
        ConfigError: what is missing.
    """
    if not steps.num_steps:
        raise ConfigError(f"data: the log of {spec.name} holds no steps")
    if "click" in steps.response and (steps.response["click"].sum(1) > 1).any():
        raise ConfigError("data: slates with several clicks cannot be simulated: the users of a simulator click one")
    fields = [each.name for each in spec.response if each.name != "click"]
    missing = [name for name in fields if name not in steps.response]
    if missing:
        raise ConfigError(f"data: the log has no response {', '.join(missing)}, which its spec declares")


def clicked_values(steps: Steps, basis: Basis, clicks: NDArray[np.int64]) -> Floats:
    """Return the counted response fields of the documents clicked in the rows `clicks` `[c]`: `[c, f]`."""
    at = steps.clicked[clicks]
    fields = [steps.response[name][clicks, at].astype(np.float64) for name in basis.counted]
    return np.stack(fields, axis=1) if fields else np.zeros((len(clicks), 0))


def sessions(steps: Steps, shown: Floats, basis: Basis) -> tuple[Floats, Floats]:
    """Return the sessions before and after every step, `[n, M]` each, played again as the simulator would."""
    starts, lengths = steps.starts, steps.lengths
    order = np.argsort(-lengths, kind="stable")  # the longest first: those still running are always the first ones
    k, size = shown.shape[1], basis.restart(1).shape[1]
    values = np.zeros((len(steps), len(basis.counted)))
    clicks = np.flatnonzero(steps.clicked < k)
    values[clicks] = clicked_values(steps, basis, clicks)
    session, before = basis.restart(len(order)), np.empty((len(steps), size))
    after = np.empty_like(before)
    for t in range(int(lengths.max())):
        running = int(np.searchsorted(-lengths[order], -t, side="left"))
        rows = starts[order[:running]] + t
        before[rows] = session[:running]
        clicked = np.flatnonzero(steps.clicked[rows] < k)
        doc = shown[rows[clicked], steps.clicked[rows[clicked]]]
        basis.update(session[:running], clicked, doc, values[rows[clicked]])
        after[rows] = session[:running]
    return before, after
