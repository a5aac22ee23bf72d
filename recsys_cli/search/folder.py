"""The folder of a sweep: what was asked for, its points, and a folder for each seed of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from recsys_cli.config import own_classes
from recsys_cli.config.compose import merge_changes
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.resources import check_resources
from recsys_cli.config.schema import SweepConfig, TrainConfig
from recsys_cli.runs.folder import create_folder
from recsys_cli.runs.resume import read_changes, read_config
from recsys_cli.search.points import Point
from recsys_cli.tracking.files import read_json, update_json, write_json, write_text
from recsys_cli.tracking.folder import CONFIG
from recsys_cli.tracking.local_runs import RUN, SWEEP

BUDGET = ("search.max_env_steps", "search.max_seconds", "search.on_failure")
CHANGEABLE = (*BUDGET, "progress", "resources", "output_dir", "resume")


@dataclass(frozen=True)
class PlannedPoint:
    """A point of a sweep that has begun.

    Attributes:
        name: its own.
        words: those that made it.
        values: of the axes, each as one types it.
        typed: values of the axes that are keys.
        problem: tells it from points of other problems.
        proposal: what an adaptive search called it, by which it is proposed again.
        config: of its trainings.
    """

    name: str
    words: tuple[str, ...]
    values: Mapping[str, str]
    typed: Mapping[str, Any]
    problem: str
    proposal: Mapping[str, Any] | None
    config: TrainConfig

    @classmethod
    def of(cls, point: Point, proposal: Mapping[str, Any] | None = None) -> PlannedPoint:
        """Return a composed point."""
        config = point.config.training()
        return cls(point.name, point.words, point.values, point.typed_values(), point.problem, proposal, config)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        told = {key: getattr(self, key) for key in ("name", "words", "values", "typed", "problem", "proposal")}
        return {**told, "config": self.config.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PlannedPoint:
        """Return what `to_dict` told."""
        return cls(**{**values, "words": tuple(values["words"]), "config": TrainConfig.from_dict(values["config"])})

    def members(self, sweep_dir: Path, seeds: int) -> dict[int, Path]:
        """Return the folder of each of its seeds."""
        first = self.config.seed
        return {seed: sweep_dir / f"{self.name}-seed_{seed}" for seed in range(first, first + seeds)}


def create_sweep(config: SweepConfig, words: list[str], command: list[str], points: list[Point]) -> Path:
    """Make the folder of a new sweep and write what it is.

    Raises:
        ConfigError: `name` is taken.
    """
    sweep_dir = create_folder(config, "sweep", command)
    planned = [PlannedPoint.of(point).to_dict() for point in points]
    write_json(sweep_dir / SWEEP, {"words": words, "points": planned})
    return sweep_dir


def read_points(sweep_dir: Path, config: SweepConfig) -> list[PlannedPoint]:
    """Return the points planned so far, with the resources that the sweep has now."""
    with own_classes.remembering(read_json(sweep_dir / RUN, default={}).get("config_path")):
        points = [PlannedPoint.from_dict(values) for values in read_json(sweep_dir / SWEEP)["points"]]
    return [replace(point, config=replace(point.config, resources=config.resources)) for point in points]


def add_point(sweep_dir: Path, point: PlannedPoint) -> None:
    """Add a point that an adaptive search proposed."""
    update_json(sweep_dir / SWEEP, lambda sweep: sweep["points"].append(point.to_dict()))


def write_point_config(folder: Path, config: TrainConfig) -> None:
    """Write a seed's config into its folder, which is made; one that is there stays."""
    if not (folder / CONFIG).exists():
        write_text(folder / CONFIG, config.to_yaml())


def resumed_sweep(words: list[str]) -> tuple[SweepConfig, Path, list[str]]:
    """Return the config, the folder and the words of the sweep to continue.

    Raises:
        ConfigError: no such sweep, or a key that a continued sweep cannot change.
    """
    changes, sweep_dir = read_changes(words, "sweep", "sweep", CHANGEABLE)
    about = read_json(sweep_dir / SWEEP)
    if about is None:
        raise ConfigError(f"resume={sweep_dir.name} is a run and no sweep: recsys train resume={sweep_dir.name}")
    with own_classes.remembering(read_json(sweep_dir / RUN, default={}).get("config_path")):
        config = SweepConfig.from_dict(merge_changes(read_config(sweep_dir), changes))
    check_resources(config.resources, config.framework)
    return config, sweep_dir, list(about["words"])
