"""The training loop's interface: what a Tune trial drives, whatever the algorithm."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from recsys_cli.envs.base import EnvConfig
from recsys_cli.policies import SlatePolicy
from recsys_cli.rollouts.episodes import Episodes, play

if TYPE_CHECKING:
    from recsys_cli.config.schema import TrainConfig


def episode_metrics(finished: Episodes | None) -> dict[str, float]:
    """Return the means of episodes that have ended, if any, as a report has them (see `Training.step`)."""
    means = {} if finished is None else finished.summary()
    return {f"train/{name}": means[name] for name in ("return", "episode_length", "clicks_per_step") if means}


class Trainer(Protocol):
    """The algorithm named by settings."""

    @classmethod
    def of_run(cls, settings: Any, run: TrainConfig, seed: int) -> Training:
        """Build a training of a run's problem with these settings."""


class Training(ABC):
    """One training run in progress."""

    @property
    @abstractmethod
    def steps(self) -> int:
        """Steps trained on so far: env steps, or logged rows."""

    @abstractmethod
    def step(self) -> dict[str, float]:
        """Train until the next report is due and return its metrics.

        Names: `train/return`, `train/episode_length`, `train/clicks_per_step` of episodes that have since ended, and
        the algorithm's own under `learner/`.
        """

    @abstractmethod
    def policy(self) -> SlatePolicy:
        """Return the policy as learned so far."""

    @property
    @abstractmethod
    def env(self) -> EnvConfig:
        """The problem trained on."""

    def evaluate(self, episodes: int, seed: int) -> dict[str, float]:
        """Play greedy episodes of fresh users and return their means (see `Episodes.summaries`).

        Raises:
            ValueError: the problem is known from a log only.
        """
        if self.env.simulator is None:
            raise ValueError(f"{self.env.name} cannot be played")
        return play(self.policy(), self.env.simulator, episodes, seed).summaries()

    @property
    def settled(self) -> bool:
        """Whether nothing more is to be learned, however many steps are left."""
        return False

    def estimate(self) -> dict[str, float]:
        """Return metrics that judge the policy without playing it: `ope/return`, on held-out episodes of a log."""
        return {}

    def start_from(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Begin with what a policy learned elsewhere: its `tensors`.

        Raises:
            ConfigError: they do not fit.
        """
        self.policy().load_tensors(tensors)

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write all that `restore` needs to continue as if never interrupted."""

    @abstractmethod
    def restore(self, folder: Path) -> None:
        """Continue from what `save` wrote."""

    @abstractmethod
    def stop(self) -> None:
        """Release processes and memory."""
