"""Importance sampling estimators of an episode's return, side by side, on the same judged episodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from recsys_cli.offline.estimators import session
from recsys_cli.offline.estimators.base import Estimate, from_influence, refused, why_refused
from recsys_cli.offline.estimators.clicks import UNKNOWN
from recsys_cli.offline.estimators.diagnostics import of_weights, why_useless
from recsys_cli.offline.estimators.fqe import LinearFQE, Solution, ValueModel, solve
from recsys_cli.offline.estimators.groups import GROUPS
from recsys_cli.offline.estimators.influence import Estimated, Floats
from recsys_cli.offline.estimators.intervals import bca
from recsys_cli.offline.judging import Judged
from recsys_cli.offline.support import SupportCheck

MOST_STEPS = 50_000  # that are looked at
MOST_NUMBERS = 10_000_000  # of an array over episodes and steps; later episodes are left out
FOLDS = 5  # of groups of episodes, for cross-fitting

NAMES = ("IS", "WIS", "PDIS", "WPDIS", "DR", "WDR")
MEANS = ("IS", "PDIS", "DR")  # linear: their intervals are BCa
TOO_LONG = "episodes are too long to be compared step by step"


class SessionComparison:
    """The return of an episode in which the target always acts.

    IS, WIS, PDIS, WPDIS and, with the values of fitted Q evaluation on other episodes, DR and WDR; each with the
    weights of slates and with those of clicks.
    """

    def __init__(self, model: ValueModel, propensities: SupportCheck, discount: float = 1.0) -> None:
        """Begin with nothing.

        Args:
            model: how values are represented.
            propensities: a check of the log's propensities that has seen nothing yet.
            discount: of the return.
        """
        self.discount, self.propensities, self.fqe = discount, propensities, LinearFQE(model, discount)
        self._judged: list[Judged] = []
        self._steps, self._episodes, self._longest = 0, 0, 0

    def add(self, judged: Judged) -> None:
        """Take more whole episodes, with the model's memory; not all of a large log."""
        steps = judged.steps
        longest = max(self._longest, int(steps.lengths.max(initial=0)))
        episodes = self._episodes + len(steps.starts)
        if len(steps) and self._steps < MOST_STEPS and episodes * longest <= MOST_NUMBERS:
            self._judged.append(judged)
            self.fqe.add(judged)
            self.propensities.add(judged.steps)
            self._steps, self._episodes, self._longest = self._steps + len(steps), episodes, longest

    def estimates(self) -> list[Estimate]:
        """Return the estimates; those that the log does not allow are refused."""
        if not self._judged:
            return [refused(f"{name}, {kind} weights", TOO_LONG) for kind in ("slate", "click") for name in NAMES]
        lengths = np.concatenate([judged.steps.lengths for judged in self._judged])
        padded = partial(session.padded, lengths=lengths)
        reward = padded(self._column(lambda judged: judged.steps.reward.astype(np.float64)))
        q, v = (padded(values) for values in self._values())
        simple, robust = {"reward": reward}, {"reward": reward, "q": q, "v": np.pad(v, ((0, 0), (0, 1)))}
        functions: tuple[Callable[[Floats], Estimated], ...] = (
            partial(session.importance_sampling, **simple, discount=self.discount),
            partial(session.weighted_is, **simple, discount=self.discount),
            partial(session.per_decision, **simple, discount=self.discount),
            partial(session.weighted_per_decision, **simple, discount=self.discount),
            partial(session.doubly_robust, **robust, discount=self.discount),
            partial(session.weighted_doubly_robust, **robust, discount=self.discount),
        )
        estimators = dict(zip(NAMES, functions, strict=True))
        useless, found = why_useless(self.propensities.result()), []
        unknown = UNKNOWN if any(judged.click_weights is None for judged in self._judged) else None
        for kind, ratio, why in (("slate", _slate_ratio, useless), ("click", lambda each: each.click_weights, unknown)):
            if why is not None:
                found += [refused(f"{name}, {kind} weights", why) for name in estimators]
                continue
            weight = session.cumulated(padded(self._column(partial(_log, ratio))))
            diagnostics, refusal = judged_weights(weight)
            found += [
                _estimate(f"{name}, {kind} weights", estimator(weight), diagnostics, refusal, skewed=name in MEANS)
                for name, estimator in estimators.items()
            ]
        return found

    def _column(self, of: Callable[[Judged], Floats]) -> Floats:
        """Return values of all rows, 0 in those that are no step."""
        return np.concatenate([np.where(judged.steps.valid, of(judged), 0.0) for judged in self._judged])

    def _values(self) -> tuple[Floats, Floats]:
        """Return q and v of all rows, by models of the other folds' episodes.

        v is 0 in an observation after the end, and q of a step after which the log has nothing is its reward, so that
        the difference there is 0.
        """
        thetas = self._thetas()
        first, parts = 0, []
        for judged in self._judged:
            steps = judged.steps
            fold = np.repeat((first + np.arange(len(steps.starts))) % GROUPS % FOLDS, steps.lengths)
            first += len(steps.starts)
            over, q, v = self.fqe.ended(steps), np.zeros(len(steps)), np.zeros(len(steps))
            for number, theta in enumerate(thetas):
                there = fold == number
                q[there], v[there] = (values[there] for values in self.fqe.values(judged, theta))
            after_end = ~steps.valid & np.concatenate([[False], over[:-1]])
            cut = ~over & (steps.following() < 0)
            q = np.where(steps.valid, np.where(cut, steps.reward, q), 0.0)
            parts.append((q, np.where(after_end, 0.0, v)))
        return tuple(np.concatenate(values) for values in zip(*parts, strict=True))  # type: ignore[return-value]

    def _thetas(self) -> list[Floats]:
        """Return each fold's weights, from the episodes of the others, at the ridge that all of them choose."""
        (episodes, sums), number = self.fqe.groups.used(), np.flatnonzero(self.fqe.groups.episodes > 0)
        free, found = self.fqe.model.features.free, []
        ridge = solve(free, episodes, sums).ridge
        for fold in range(FOLDS):
            others = number % FOLDS != fold
            kept = others if others.any() else ~others
            part = {name: values[kept] for name, values in sums.items()}
            found.append(Solution.at(ridge, free, episodes[kept], part).theta)
        return found


def judged_weights(weight: Floats) -> tuple[dict[str, float], str | None]:
    """Return diagnostics of the weights `[E, T]` of episodes, and why an estimate with them is refused, if it is."""
    usable, longest = usable_steps(weight), weight.shape[1]
    diagnostics = {**of_weights(weight[:, -1]), "usable_steps": float(usable)}
    refusal = why_refused(diagnostics)
    if usable < longest:
        refusal = f"{refusal or 'importance weights fail on the way'}; they last for {usable} of up to {longest} steps"
    return diagnostics, refusal


def usable_steps(weight: Floats) -> int:
    """Return after how many steps the weights `[E, T]` of episodes say nothing any more."""
    failed = (step for step in range(weight.shape[1]) if why_refused(of_weights(weight[:, step])) is not None)
    return next(failed, weight.shape[1])


def _slate_ratio(judged: Judged) -> Floats | None:
    return None if judged.slate_weights is None else judged.slate_weights.prod(1)


def _log(ratio: Callable[[Judged], Floats | None], judged: Judged) -> Floats:
    with np.errstate(divide="ignore"):
        return np.log(np.asarray(ratio(judged)))


def _estimate(
    name: str, estimated: Estimated, diagnostics: dict[str, float], refusal: str | None, *, skewed: bool
) -> Estimate:
    estimate = from_influence(name, *estimated, diagnostics=diagnostics, refusal=refusal)
    if refusal is not None or not skewed:
        return estimate
    low, high = bca(*estimated)
    return replace(estimate, low=low, high=high, interval=f"BCa over {len(estimated[1]):,} episodes")
