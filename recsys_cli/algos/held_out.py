"""Episodes of a log that training does not see, on which what it learns is judged."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from recsys_cli.offline.choice import fit_choice, known_choice
from recsys_cli.offline.dataset import BATCH_ROWS, Dataset
from recsys_cli.offline.estimators.fqe import LinearFQE, ValueModel
from recsys_cli.offline.judging import Logged
from recsys_cli.offline.steps import Steps, concatenate, fold_of
from recsys_cli.policies import SlatePolicy

FOLDS = 5  # one of which is held out
MOST_ROWS = 20_000  # held out that a policy is judged on while it learns


class HeldOut:
    """Splits a data set by whole episodes, a fifth of them held out, the same in every process."""

    def __init__(self, dataset: Dataset) -> None:
        """Take the data set."""
        self.dataset = dataset

    def training_batches(self, rows: int = BATCH_ROWS) -> Iterator[Steps]:
        """Yield the other episodes in order, about so many rows at a time."""
        for batch in self.dataset.batches(rows):
            part = batch.episodes(fold_of(batch.episode[batch.starts], FOLDS) != 0)
            if len(part):
                yield part

    def estimate(self, policy: SlatePolicy) -> dict[str, float]:
        """Return `ope/return` of a policy by fitted Q evaluation, and its standard error `ope/return_error`."""
        logged, model = self._judging
        estimator = LinearFQE(model)
        estimator.add(logged.judge(policy))
        estimate = estimator.estimate()
        return {"ope/return": estimate.value, "ope/return_error": estimate.error}

    @cached_property
    def _judging(self) -> tuple[Logged, ValueModel]:
        """The first held-out episodes, and how values are represented."""
        parts, rows = list[Steps](), 0
        for batch in self.dataset.batches():
            part = batch.episodes(fold_of(batch.episode[batch.starts], FOLDS) == 0)
            parts, rows = [*parts, part], rows + len(part)
            if rows >= MOST_ROWS:
                break
        steps, spec = concatenate(parts), self.dataset.spec
        model = ValueModel.of(spec, steps)
        return Logged.of(model.remembering(steps), known_choice(spec) or fit_choice(spec, steps)), model
