"""Trainings in this process, without Ray, whose state is a tree of arrays and numbers."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

from recsys_cli.algos.state_files import load_state, save_state
from recsys_cli.algos.training import Training


class LocalTraining(Training):
    """Saves and restores its state as one tree."""

    def save(self, folder: Path) -> None:
        """See `Training.save`."""
        save_state(folder, self.get_state())

    def restore(self, folder: Path) -> None:
        """Continue from what `save` wrote.

        Raises:
            ConfigError: the folder holds no such state, or that of another policy.
        """
        self.set_state(load_state(folder))

    @abstractmethod
    def get_state(self) -> dict[str, Any]:
        """Return all that the rest of the training depends on, as `state_files.save_state` takes it."""

    @abstractmethod
    def set_state(self, state: dict[str, Any]) -> None:
        """Restore what `get_state` returned."""
