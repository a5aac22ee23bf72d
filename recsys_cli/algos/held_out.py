"""Episodes of a log that training does not see, on which what it learns is judged."""

from __future__ import annotations

from collections.abc import Iterator

from recsys_cli.offline.dataset import BATCH_ROWS, Dataset
from recsys_cli.offline.steps import Steps, fold_of
from recsys_cli.policies import SlatePolicy

FOLDS = 5  # one of which is held out


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
        """Return `ope/return` of a policy."""
        return {}
