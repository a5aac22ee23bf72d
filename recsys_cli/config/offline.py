"""Schemas of the root yamls of commands on logged data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.ranges import Count, NotEmpty, Text
from recsys_cli.config.schema import RootConfig


@dataclass(frozen=True)
class ImportConfig(RootConfig):
    """`conf/import.yaml`: a user's own log, to become a data set."""

    mapping: Text
    data: Text | Annotated[list[Text], NotEmpty()]
    name: Text
    data_dir: Text
    rows_in_memory: Count
    progress: bool

    def __post_init__(self) -> None:
        """Check the name."""
        check_data_name(self.name)


def check_data_name(name: str) -> None:
    """Refuse a name that cannot be a folder's.

    Raises:
        ConfigError: it cannot.
    """
    if "/" in name or name.startswith("."):
        raise ConfigError(f"name={name} must be the name of a folder, not hidden; data_dir names its parent")
