"""What a run trains: points, and several seeds of each. A training is a run of one point."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_cli.config.schema import TrainConfig
from recsys_cli.config.search import SearchConfig

if TYPE_CHECKING:
    from recsys_cli.runs.stopping import OnRequest
    from recsys_cli.runs.trial import TrialSpec


@dataclass(frozen=True)
class Point:
    """One setting of a run.

    Attributes:
        name: prefix of its seeds' folders; empty for a training.
        words: its overrides; without those of the search, `recsys train` trains it from them.
        values: of the axes, as typed on the command line.
        typed: Python values of axes that are keys, not groups.
        config: of its trainings.
        proposal: an adaptive search's id, by which it is proposed again.
    """

    name: str
    words: tuple[str, ...]
    values: Mapping[str, str]
    typed: Mapping[str, Any]
    config: TrainConfig
    proposal: Mapping[str, Any] | None = None

    @property
    def problem(self) -> str:
        """Return a label of the point's problem; only scores on the same problem are compared."""
        return spell_values({key: value for key, value in self.values.items() if key.split(".")[0] == "env"})

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {field.name: getattr(self, field.name) for field in fields(self)} | {"config": self.config.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Point:
        """Return the point from `to_dict`'s values."""
        return cls(**{**values, "words": tuple(values["words"]), "config": TrainConfig.from_dict(values["config"])})

    def seeds(self, run_dir: Path, number: int) -> dict[int, Path]:
        """Return the folder of each seed."""
        first, prefix = self.config.seed, f"{self.name}-" if self.name else ""
        return {seed: run_dir / f"{prefix}seed_{seed}" for seed in range(first, first + number)}


def spell_values(values: Mapping[str, str]) -> str:
    """Return values as typed on the command line."""
    return " ".join(f"{key}={value}" for key, value in values.items())


class Plan:
    """The points of a run and how Tune runs them: here one point, with one trial per seed.

    Attributes:
        root: the command.
        retries: immediate retries of a failed trial.
        search: how points are scored, how seeds make trials, and what stops the run.
        points: those known so far.
    """

    root = "train"
    retries = 1

    def __init__(self, config: TrainConfig) -> None:
        """Plan one point."""
        self.points = [Point("", (), {}, {}, config)]
        self.search = SearchConfig(
            name="none",
            metric="eval/return" if config.data is None else "ope/return",
            mode="max",
            seeds_per_point=config.seeds,
            over_seeds="mean",
            seed=config.seed,
            max_steps=None,
            max_seconds=None,
            on_failure="continue",
        )

    @property
    def searches(self) -> bool:
        """Whether points are compared."""
        return self.root != "train"

    @property
    def expected(self) -> int:
        """Total number of points."""
        return len(self.points)

    def seed_names(self) -> list[str]:
        """Return the names of the folders of all seeds known so far."""
        number = self.search.seeds_per_point
        return [folder.name for point in self.points for folder in point.seeds(Path(), number).values()]

    def read(self, run_dir: Path) -> None:
        """Read the points planned by an earlier session; a training needs only its config."""

    def add(self, run_dir: Path, point: Point) -> None:
        """Add a point that an adaptive search proposed."""
        raise NotImplementedError

    def proposals(self, make_trial: Callable[[Point], TrialSpec]) -> Any:
        """Return Tune's searcher that proposes the points of an adaptive search."""
        raise NotImplementedError

    def tune_arguments(self, stopper: OnRequest) -> dict[str, Any]:
        """Return the arguments of `tune.run` for the search."""
        return {}
