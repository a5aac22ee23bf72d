"""Episodes of a log that training does not see, on which what it learns is judged."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property

from recsys_cli.config.notices import warn
from recsys_cli.offline.choice import fit_choice, known_choice
from recsys_cli.offline.dataset import BATCH_ROWS, Dataset
from recsys_cli.offline.estimators.fqe import LinearFQE, ValueModel
from recsys_cli.offline.judging import Logged
from recsys_cli.offline.steps import Steps, concatenate, fold_of
from recsys_cli.policies import SlatePolicy

FOLDS = 5  # one of which is held out
# Fewer held-out episodes judge worse than all of the log does, though it was learned from: picking by them lost 4 to
# 12 % of the return at 10,000 steps, where all of it lost nothing (experiments/offline).
FEWEST_JUDGED = 200
JUDGED_ROWS = 20_000  # of the held-out episodes, at least, if there are as many: an estimate takes a second then
MODELLED_ROWS = 100_000  # of the others, from which choice and the session's budget are learned


class HeldOut:
    """Splits a data set by whole episodes, a fifth of them held out, the same in every process."""

    def __init__(self, dataset: Dataset) -> None:
        """Take the data set."""
        self.dataset = dataset

    def training_batches(self, rows: int = BATCH_ROWS) -> Iterator[Steps]:
        """Yield the other episodes in order, about so many rows at a time."""
        return self._batches(rows, held_out=False)

    def _batches(self, rows: int, *, held_out: bool | None) -> Iterator[Steps]:
        for batch in self.dataset.batches(rows):
            part = batch
            if held_out is not None:
                part = batch.episodes((fold_of(batch.episode[batch.starts], FOLDS) == 0) == held_out)
            if len(part):
                yield part

    def _some(self, rows: int, *, held_out: bool | None) -> Steps | None:
        """Return the first whole episodes of one side, or of both, of so many rows together; None if there are none."""
        parts, found = [], 0
        for part in self._batches(BATCH_ROWS, held_out=held_out):
            parts.append(part)
            found += len(part)
            if found >= rows:
                break
        steps = concatenate(parts) if parts else None
        return steps and steps.episodes(steps.starts < rows)

    @property
    def _judged(self) -> Steps:
        held_out = self._some(JUDGED_ROWS, held_out=True)
        if held_out is not None and len(held_out.starts) >= FEWEST_JUDGED:
            return held_out
        every = self._some(JUDGED_ROWS, held_out=None)
        assert every is not None
        return every

    @cached_property
    def _prepared(self) -> tuple[ValueModel, Logged]:
        """How values are represented, and the judged steps with all that is the same for every policy.

        How users choose, and what ends a session, is learned from the training episodes.
        """
        spec, steps = self.dataset.spec, self._some(MODELLED_ROWS, held_out=False)
        assert steps is not None
        choice, model = known_choice(spec) or fit_choice(spec, steps), ValueModel.of(spec, steps)
        return model, Logged.of(model.remembering(self._judged), choice)

    def estimate(self, policy: SlatePolicy) -> dict[str, float]:
        """Return a policy's estimated return on the held-out episodes, or on all if these are few, by FQE.

        Returns:
            `ope/return`, and `ope/low` and `ope/high`, its 95 % interval. Empty, with a notice of why, if diagnostics
            refuse an estimate.
        """
        model, logged = self._prepared
        estimator = LinearFQE(model)
        estimator.add(logged.judge(policy))
        found = estimator.estimate()
        if found.refusal is not None or not math.isfinite(found.value):
            warn(f"no ope/return from {len(logged.steps.starts)} episodes: {found.refusal or 'no solution'}")
            return {}
        return {"ope/return": found.value, "ope/low": found.low, "ope/high": found.high}
