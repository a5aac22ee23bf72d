"""Searches that propose each point from earlier scores, as a Tune searcher."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ray.tune.search import Searcher

from recsys_cli.config.search import RandomSearch
from recsys_cli.runs.plan import Point
from recsys_cli.runs.trial import SCORE, TrialSpec
from recsys_cli.search.axes import Axis, Interval
from recsys_cli.search.points import Branch, Space
from recsys_cli.search.schedulers import drawn

BRANCH = "branch"


class Proposals(Searcher):
    """Turns proposed values into points, and points into trials.

    Args:
        space: of possible points.
        search: its settings.
        known: proposals of earlier sessions in order; they are made again first, and their trials repeat their reports,
            from which the model is rebuilt.
        make_trial: makes the trial of a new or known point.
    """

    def __init__(
        self,
        space: Space,
        search: RandomSearch,
        known: Sequence[Mapping[str, Any]],
        make_trial: Callable[[Point], TrialSpec],
    ) -> None:
        """Build the underlying searcher."""
        super().__init__(metric=SCORE, mode=search.mode)
        self.space, self.trials, self.make_trial = space, search.trials, make_trial
        self.number = 0
        build = _optuna if search.name == "optuna" else _bohb
        self.inner = build(space.branches, search, [dict(proposal) for proposal in known])

    def suggest(self, trial_id: str) -> Any:
        """Return the next trial, or `Searcher.FINISHED` after the last."""
        if self.number >= self.trials:
            return Searcher.FINISHED
        proposal = self.inner.suggest(trial_id)
        if proposal is None or proposal == Searcher.FINISHED:
            return proposal
        branch_number = int(proposal.get(BRANCH, 0))
        branch = self.space.branches[branch_number]
        words, values = _words(branch, {axis.key: proposal[_label(branch_number, axis)] for axis in branch.axes})
        point = self.space.point(self.number, words, values)
        self.number += 1
        return self.make_trial(replace(point, proposal=proposal)).to_tune()

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Pass on a score."""
        self.inner.on_trial_result(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Pass on a final score."""
        self.inner.on_trial_complete(trial_id, result, error)

    def on_pause(self, trial_id: str) -> None:
        """Notify BOHB that a trial waits at its rung."""
        self.inner.on_pause(trial_id)

    def on_unpause(self, trial_id: str) -> None:
        """Notify BOHB that a trial continues."""
        self.inner.on_unpause(trial_id)


def _label(branch: int, axis: Axis) -> str:
    return f"{branch}:{axis.key}"


def _words(branch: Branch, proposed: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
    values = {
        axis.key: axis.spell(float(proposed[axis.key])) if isinstance(axis, Interval) else str(proposed[axis.key])
        for axis in branch.axes
    }
    return [*branch.words, *(f"{key}={text}" for key, text in values.items())], {**branch.picked, **values}


def _optuna(branches: Sequence[Branch], search: RandomSearch, known: list[dict[str, Any]]) -> Any:
    import optuna
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def propose(trial: Any) -> None:
        branch = trial.suggest_categorical(BRANCH, list(range(len(branches)))) if len(branches) > 1 else 0
        for axis in branches[branch].axes:
            label = _label(branch, axis)
            if not isinstance(axis, Interval):
                trial.suggest_categorical(label, list(axis.values))
            elif axis.integer:
                trial.suggest_int(label, int(axis.low), int(axis.high), log=axis.log)
            else:
                trial.suggest_float(label, axis.low, axis.high, log=axis.log)

    return OptunaSearch(
        space=propose, metric=SCORE, mode=search.mode, seed=search.seed, points_to_evaluate=known or None
    )


def _bohb(branches: Sequence[Branch], search: RandomSearch, known: list[dict[str, Any]]) -> Any:
    from ray import tune
    from ray.tune.search.bohb import TuneBOHB

    space = {
        _label(0, axis): drawn(axis) if isinstance(axis, Interval) else tune.choice(list(axis.values))
        for axis in branches[0].axes
    }
    return TuneBOHB(space, metric=SCORE, mode=search.mode, seed=search.seed, points_to_evaluate=known or None)
