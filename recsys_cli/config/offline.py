"""Schemas of the root yamls of commands on logged data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.explore import Explore
from recsys_cli.config.ranges import Count, NotEmpty, PositiveFraction, Seed, Steps, Text
from recsys_cli.config.schema import RootConfig, TrackingConfig


@dataclass(frozen=True)
class RecordConfig(RootConfig):
    """`conf/record.yaml`: users played by a policy, and written.

    With a checkpoint, `env` holds only the requested changes to its env, nested, and `algo` is None.
    """

    tracking: TrackingConfig
    env: Any
    algo: Any
    name: Text
    checkpoint: Text | None
    explore: Text
    episodes: Count
    seed: Seed
    data_dir: Text
    output_dir: Text
    progress: Literal["auto", "rich", "plain", "off"]

    def __post_init__(self) -> None:
        """Check exploration and name."""
        Explore.parse(self.explore)
        check_plain_name(self.name, "data_dir")


@dataclass(frozen=True)
class ImportConfig(RootConfig):
    """`conf/import.yaml`: a user's own log, to become a data set."""

    mapping: Text | None
    data: Text | Annotated[list[Text], NotEmpty()]
    name: Text
    format: Literal["mapping", "rllib_json", "rllib_episodes"]
    env: Any
    data_dir: Text
    rows_in_memory: Count

    def __post_init__(self) -> None:
        """Check the name, and that there is either a mapping or, for RLlib's formats, a problem."""
        check_plain_name(self.name, "data_dir")
        needed, other = ("mapping", "env") if self.format == "mapping" else ("env", "mapping")
        if getattr(self, needed) is None:
            option = "<yaml>, which says which column is what" if needed == "mapping" else "<problem>, which was played"
            raise ConfigError(f"{needed} is required with format={self.format}: set {needed}={option}")
        if getattr(self, other) is not None:
            raise ConfigError(f"{other} is not used with format={self.format}: leave it out")


def check_plain_name(name: str, parent: str) -> None:
    """Refuse a name that is no plain name of a folder; `parent` is the key of the folder that it lies in.

    Raises:
        ConfigError: with the key.
    """
    if "/" in name or name.startswith("."):
        raise ConfigError(f"name={name} must be the name of a folder, not hidden; {parent} names its parent")


@dataclass(frozen=True)
class DescribeConfig(RootConfig):
    """`conf/describe.yaml`: a data set, described."""

    data: Text
    data_dir: Text
    output: Text | None
    progress: Literal["auto", "rich", "plain", "off"]


@dataclass(frozen=True)
class FitSimulatorConfig(RootConfig):
    """`conf/fit-simulator.yaml`: a simulator to be learned from a log."""

    data: Text
    name: Text
    folder: Text
    choice: Literal["auto", "known", "learned"]
    rows: Steps | None
    sessions: Count
    seed: Seed
    data_dir: Text

    def __post_init__(self) -> None:
        """Check the option's name."""
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name):
            raise ConfigError(f"name={self.name} must be lower-case letters, digits and _, such as my_users")


@dataclass(frozen=True)
class ExportConfig(RootConfig):
    """`conf/export.yaml`: a data set, to be written in another format."""

    data: Text
    output: Text
    format: Literal["rllib"]
    data_dir: Text
    progress: Literal["auto", "rich", "plain", "off"]


@dataclass(frozen=True)
class OpeConfig(RootConfig):
    """`conf/ope.yaml`: policies to be judged on a data set, without being played."""

    tracking: TrackingConfig
    data: Text
    checkpoint: Text | Annotated[list[Text], NotEmpty()] | None
    explore: Text | Annotated[list[Text], NotEmpty()]
    baselines: list[Literal["random", "myopic"]]
    estimators: Annotated[list[Literal["fqe", "clicks", "steps", "sessions"]], NotEmpty()]
    choice: Literal["auto", "known", "learned", "network"]
    discount: PositiveFraction
    data_dir: Text
    output: Text | None
    output_dir: Text
    progress: Literal["auto", "rich", "plain", "off"]
    log: bool

    def __post_init__(self) -> None:
        """Check the exploration, and that there is something to judge."""
        for explore in self.explorations:
            Explore.parse(explore)
        if not self.checkpoints and not self.baselines:
            raise ConfigError("nothing to judge: name checkpoint=<run id> or baselines=[random,myopic]")

    @property
    def checkpoints(self) -> list[str]:
        """The references."""
        return [self.checkpoint] if isinstance(self.checkpoint, str) else list(self.checkpoint or [])

    @property
    def explorations(self) -> list[str]:
        """How each checkpoint explores; it is judged once for each."""
        return [self.explore] if isinstance(self.explore, str) else list(self.explore)
