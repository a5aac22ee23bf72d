"""Schemas of the root yamls, one per command, and of tracking."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.explore import Explore
from recsys_cli.config.ranges import SEEDS, Count, Seed, Seeds, Steps, StepsOrZero, Text
from recsys_cli.config.resources import FrameworkConfig, ResourcesConfig
from recsys_cli.config.search import SearchConfig
from recsys_cli.config.structured import build_as, hints_of, to_plain

Baseline = Literal["random", "myopic", "oracle"]


@dataclass(frozen=True)
class TrackingConfig:
    """Where metrics, config and checkpoints are kept (`conf/tracking`)."""

    enabled: bool
    uri: Text | None
    experiment: Text
    register_model: Text | None

    def __post_init__(self) -> None:
        """Check the model's name."""
        if self.register_model is not None:
            check_model_name("tracking.register_model", self.register_model)


class Settings:
    """A section of a root that is not a config group: its yaml needs no `_target_`."""


@dataclass(frozen=True)
class EvaluationSettings(Settings):
    """Greedy episodes during and after training."""

    every: StepsOrZero
    episodes: Count
    users: Count
    baselines: list[Baseline]
    seed: Seed
    patience: Count | None


@dataclass(frozen=True)
class CheckpointSettings(Settings):
    """When checkpoints are written and how many are kept."""

    every: StepsOrZero
    keep: Count


class RootConfig:
    """Shared by the roots: conversion to plain values and back."""

    def to_dict(self) -> dict[str, Any]:
        """Return all keys as plain values, every group with its `_target_`."""
        hints = hints_of(type(self))  # type: ignore[arg-type]
        plain = {}
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            plain[field.name] = to_plain(value, hints[field.name] if isinstance(value, Settings) else None)
        return plain

    def to_yaml(self) -> str:
        """Return `to_dict` as yaml text, keys in the order of the schema."""
        import yaml

        text: str = yaml.safe_dump(self.to_dict(), sort_keys=False, width=120)
        return text

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild the object from `to_dict`'s values, as kept in a checkpoint; reads no yaml of `conf`.

        Raises:
            ConfigError: the values do not fit this version's schemas.
        """
        built: Self = build_as(cls, values, "")
        return built


@dataclass(frozen=True)
class TrainConfig(RootConfig):
    """`conf/train.yaml`: one training, of one or several seeds.

    `env` and `algo` are objects of the dataclass named by their yaml's `_target_`.
    """

    env: Any
    algo: Any
    framework: FrameworkConfig
    resources: ResourcesConfig
    tracking: TrackingConfig
    seed: Seed
    seeds: Seeds
    policies: Literal["shared", "own"]
    data: Text | None
    data_dir: Text
    steps: Steps
    output_dir: Text
    name: Text | None
    resume: Text | None
    progress: Literal["auto", "rich", "plain", "off"]
    report_every: Steps
    evaluation: EvaluationSettings
    checkpoint: CheckpointSettings

    def __post_init__(self) -> None:
        """Check the last seed and the folder names, and let the algorithm know what it learns from."""
        if hasattr(self.algo, "learning_from"):
            object.__setattr__(self, "algo", self.algo.learning_from(self.data, self.env))
        for key in ("env_runners", "evaluation_runners"):
            if self.data is not None and (number := getattr(self.resources, key)):
                raise ConfigError(f"resources.{key}={number}: a training from data= plays nothing; allowed: 0")
        if self.seed + self.seeds > SEEDS:
            raise ConfigError(f"seeds={self.seeds} from seed={self.seed}: the last must be below {SEEDS:,}")
        if self.name is not None and ("/" in self.name or self.name.startswith(".")):
            raise ConfigError(f"name={self.name} must be the name of a folder, not hidden; output_dir names its parent")
        if self.resume is not None:
            raise ConfigError(f"resume={self.resume}: which run to continue is said on the command line, not in a yaml")
        if "://" in self.output_dir:
            raise ConfigError(
                f"output_dir={self.output_dir}: a folder is expected; mount the bucket on all nodes and use the mount "
                "point, or keep runs on shared storage and artifacts in the bucket with tracking=mlflow_server"
            )

    @property
    def learner(self) -> Any:
        """The algorithm, or what learns a policy for each group of users by it."""
        return self.algo.for_policies(self.policies)

    def check_policies(self) -> None:
        """Refuse a policy for each group of users where it cannot be learned.

        Raises:
            ConfigError: from a log, or of a group without users.
        """
        if self.policies == "own" and self.data is not None:
            raise ConfigError(f"policies=own learns by playing only, not from data={self.data}; allowed: shared")
        for name, share in self.env.shares.items() if self.policies == "own" else ():
            if not share:
                raise ConfigError(f"env.groups.{name}.weight=0: with policies=own every group needs users")

    def check_reports(self) -> None:
        """Refuse evaluations and checkpoints more frequent than reports, at which they are made.

        Raises:
            ConfigError: with both keys.
        """
        for section in ("evaluation", "checkpoint"):
            every = getattr(self, section).every
            if 0 < every < self.report_every:
                raise ConfigError(
                    f"{section}.every={every} is finer than report_every={self.report_every}, and it is done at "
                    "reports: raise one or lower the other"
                )


@dataclass(frozen=True)
class SweepConfig(TrainConfig):
    """`conf/sweep.yaml`: many trainings, compared."""

    search: SearchConfig
    space: Literal["auto", "true", "false"]
    dry_run: bool

    def __post_init__(self) -> None:
        """Check keys that the sweep sets itself, and its metric."""
        super().__post_init__()
        if self.seeds != 1:
            raise ConfigError(f"seeds={self.seeds}: a sweep trains search.seeds_per_point seeds per point")
        if self.data is not None and self.search.metric == "eval/return":  # what learns from a log, the log judges
            object.__setattr__(self, "search", dataclasses.replace(self.search, metric="ope/return"))
        self.search.check(self.steps)

    def check_reports(self) -> None:
        """As in a training, unless the search sets all three."""
        if self.search.unit(self.steps) is None:
            super().check_reports()

    def training(self) -> TrainConfig:
        """Return the config of one trial; it reports as often as a search that compares running trials needs."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(TrainConfig)}
        unit = self.search.unit(self.steps)
        values["steps"] = self.search.whole(self.steps)
        if unit is not None:
            values["report_every"] = unit
            values["evaluation"] = dataclasses.replace(self.evaluation, every=unit)
            values["checkpoint"] = dataclasses.replace(self.checkpoint, every=unit)
        return TrainConfig(**values)


@dataclass(frozen=True)
class EvaluateConfig(RootConfig):
    """`conf/evaluate.yaml`: one evaluation of a checkpoint.

    `env` holds only the requested changes, nested (`{"num_candidates": 50}`); `apply_env_overrides` applies them to the
    checkpoint's env.
    """

    tracking: TrackingConfig
    checkpoint: Text
    users: Count
    seed: Seed
    explore: Text
    baselines: list[Baseline]
    output: Text | None
    output_dir: Text
    progress: Literal["auto", "rich", "plain", "off"]
    log: bool
    env: dict[str, Any]

    def __post_init__(self) -> None:
        """Check the exploration."""
        Explore.parse(self.explore)


@dataclass(frozen=True)
class RegisterConfig(RootConfig):
    """`conf/register.yaml`: a checkpoint to become a version of a registered model."""

    tracking: TrackingConfig
    checkpoint: Text
    name: Text
    alias: Text | None
    output_dir: Text

    def __post_init__(self) -> None:
        """Check what MLflow allows as names."""
        if not self.tracking.enabled:
            raise ConfigError("tracking=off has no model registry; allowed: tracking=mlflow, tracking=mlflow_server")
        check_model_name("name", self.name)
        alias = self.alias
        if alias is not None and not re.fullmatch(r"[\w-]{1,255}", alias):
            raise ConfigError(f"alias={alias} must be letters, digits, - and _, such as champion")
        if alias is not None and re.fullmatch(r"latest|v\d+", alias, re.IGNORECASE):
            raise ConfigError(f"alias={alias} is reserved by MLflow: use another, such as champion")


def check_model_name(key: str, name: str) -> None:
    """Refuse a name that cannot be part of a reference `models:/<name>...`.

    Raises:
        ConfigError: with the key.
    """
    if not re.fullmatch(r"[\w.-][\w. -]*", name) or name in (".", ".."):
        raise ConfigError(f"{key}={name} must be letters, digits, spaces, '.', '-' and '_', such as slateq")
