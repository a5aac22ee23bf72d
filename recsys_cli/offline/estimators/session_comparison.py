"""Importance sampling estimators of an episode's return, side by side, on the same judged episodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.offline.estimators import session
from recsys_cli.offline.estimators.base import Estimate, from_influence, refused, why_refused
from recsys_cli.offline.estimators.diagnostics import of_weights
from recsys_cli.offline.estimators.influence import Estimated, Floats
from recsys_cli.offline.estimators.intervals import bca
from recsys_cli.offline.judging import Judged

MOST_NUMBERS = 10_000_000  # of an array over episodes and steps; later episodes are left out

NAMES = ("IS", "WIS", "PDIS", "WPDIS", "DR", "WDR")
MEANS = ("IS", "PDIS", "DR")  # linear: their intervals are BCa
MISSING = {
    "slate": "the log has no propensities",
    "click": "what the policy that logged lets users click is unknown",
}


@dataclass(frozen=True)
class SessionColumns:
    """Columns of n rows, episode after episode; None if the log does not say enough.

    Attributes:
        lengths: rows of each episode, `[E]`.
        reward: `[n]`; 0 in rows that are no step.
        slate: log of the ratio of the target's to the logged probability of the slate, `[n]`; 0 there.
        click: the same of the click.
        q: value of what was clicked, `[n]`; 0 there.
        v: value of the state, `[n]`.
    """

    lengths: NDArray[np.int64]
    reward: Floats
    slate: Floats | None
    click: Floats | None
    q: Floats | None
    v: Floats | None

    def padded(self, name: str) -> Floats | None:
        """Return a column as `[E, T]`; v has a column more, of zeros."""
        parts = getattr(self, name)
        return None if parts is None else session.padded(parts, self.lengths)


class SessionComparison:
    """The return of an episode in which the target always acts.

    IS, WIS, PDIS, WPDIS and, with a model's values, DR and WDR; each with the weights of slates and with those of
    clicks.
    """

    def __init__(self, discount: float = 1.0) -> None:
        """Take the discount of the return."""
        self.discount, self._parts = discount, list[SessionColumns]()
        self._episodes, self._longest = 0, 0

    def add(self, judged: Judged, q: Floats | None = None, v: Floats | None = None) -> None:
        """Take more whole episodes.

        Args:
            judged: n rows.
            q: a model's value of the logged slate or of what was clicked, `[n]`.
            v: a model's value of the state under the target, `[n]`.
        """
        steps = judged.steps
        longest = max(self._longest, int(steps.lengths.max(initial=0)))
        room = MOST_NUMBERS // max(longest, 1) - self._episodes
        lengths = steps.lengths[: max(room, 0)]
        if not len(lengths):
            return
        rows, valid = slice(int(lengths.sum())), steps.valid

        def kept(values: Floats) -> Floats:
            return np.where(valid, values, 0.0)[rows]

        slate, click = judged.slate_weights, judged.click_weights
        with np.errstate(divide="ignore"):
            self._parts.append(
                SessionColumns(
                    lengths=lengths,
                    reward=kept(steps.reward.astype(np.float64)),
                    slate=None if slate is None else kept(np.log(slate).sum(1)),
                    click=None if click is None else kept(np.log(click)),
                    q=None if q is None else kept(q),
                    v=None if v is None else v[rows],
                )
            )
        self._episodes, self._longest = self._episodes + len(lengths), longest

    def estimates(self) -> list[Estimate]:
        """Return the estimates; those that the log does not allow are refused."""
        log = _joined(self._parts)
        reward, q, v = log.padded("reward"), log.padded("q"), log.padded("v")
        assert reward is not None
        found = []
        for kind in ("slate", "click"):
            log_ratio = log.padded(kind)
            for name, estimator in self._estimators(reward, q, v).items():
                full = f"{name}, {kind} weights"
                if log_ratio is None:
                    found.append(refused(full, MISSING[kind]))
                elif estimator is not None:
                    found.append(_estimate(full, session.cumulated(log_ratio), estimator, bias_corrected=name in MEANS))
        return found

    def _estimators(
        self, reward: Floats, q: Floats | None, v: Floats | None
    ) -> dict[str, Callable[[Floats], Estimated] | None]:
        """Return the estimators by name, as functions of the weights; those that lack a model are None."""
        simple = (
            session.importance_sampling,
            session.weighted_is,
            session.per_decision,
            session.weighted_per_decision,
        )
        found: list[Callable[[Floats], Estimated] | None] = [
            partial(estimator, reward=reward, discount=self.discount) for estimator in simple
        ]
        if q is None or v is None:
            return dict(zip(NAMES, [*found, None, None], strict=True))
        values: dict[str, Any] = {"reward": reward, "q": q, "v": np.pad(v, ((0, 0), (0, 1))), "discount": self.discount}
        robust = (session.doubly_robust, session.weighted_doubly_robust)
        return dict(zip(NAMES, [*found, *(partial(each, **values) for each in robust)], strict=True))


def usable_steps(weight: Floats) -> int:
    """Return after how many steps the weights `[E, T]` of episodes say nothing any more."""
    for step in range(weight.shape[1]):
        if why_refused(of_weights(weight[:, step])) is not None:
            return step
    return weight.shape[1]


def _estimate(name: str, weight: Floats, estimator: Callable[[Floats], Estimated], *, bias_corrected: bool) -> Estimate:
    value, influence = estimator(weight)
    usable = usable_steps(weight)
    diagnostics = {**of_weights(weight[:, -1]), "usable_steps": float(usable)}
    refusal = why_refused(diagnostics)
    if refusal is None and usable < weight.shape[1]:
        refusal = "importance weights failed before the end of the episodes"
    if refusal is not None:
        refusal = f"{refusal}; they last for {usable} of up to {weight.shape[1]} steps"
    estimate = from_influence(name, value, influence, diagnostics=diagnostics, refusal=refusal)
    if refusal is not None or not bias_corrected:
        return estimate
    low, high = bca(value, influence)
    return replace(estimate, low=low, high=high, interval=f"BCa over {len(influence):,} episodes")


def _joined(parts: list[SessionColumns]) -> SessionColumns:
    def column(name: str) -> Floats | None:
        columns = [getattr(part, name) for part in parts]
        return None if any(each is None for each in columns) else np.concatenate(columns)

    lengths, reward = (np.concatenate([getattr(part, name) for part in parts]) for name in ("lengths", "reward"))
    return SessionColumns(lengths, reward, column("slate"), column("click"), column("q"), column("v"))
