"""Schemas of the root yamls of commands on the log of a service."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from recsys_cli.config.errors import ConfigError, closest
from recsys_cli.config.offline import check_plain_name
from recsys_cli.config.ranges import Signed, Text
from recsys_cli.config.schema import RootConfig
from recsys_cli.config.serving import check_installed


@dataclass(frozen=True)
class CompactConfig(RootConfig):
    """`conf/compact.yaml`: the log of a service, to become a data set."""

    log: Text
    name: Text
    propensity: Literal["policy", "total"]
    aggregation: Literal["sum", "earliest"] | None
    default_reward: Signed | None
    include_open: bool
    since: Literal["last", "start"]
    remove_segments: bool
    service_dir: Text
    data_dir: Text

    def __post_init__(self) -> None:
        """Check what is installed, and the name."""
        check_installed("local")
        check_plain_name(self.name, "data_dir")
        if self.remove_segments and self.since == "start":
            raise ConfigError("remove_segments=true: since=start leaves the log as it is; leave one of them out")


@dataclass(frozen=True)
class ReplayConfig(RootConfig):
    """`conf/replay.yaml`: the log of a service, to be decided once more."""

    log: Text
    service_dir: Text

    def __post_init__(self) -> None:
        """Check what is installed."""
        check_installed("local")


def service_of(log: str, service_dir: str) -> Path:
    """Return the folder of a service named by its path, or by its name in `service_dir`.

    Raises:
        ConfigError: there is none.
    """
    for folder in (Path(log).expanduser(), Path(service_dir).expanduser() / log):
        if (folder / "service.yaml").is_file():
            return folder
    there = sorted(path.parent.name for path in Path(service_dir).expanduser().glob("*/service.yaml"))
    listed = f"; services in {service_dir}: {', '.join(there[:10])}" if there else ""
    near = closest(log, there)
    raise ConfigError(f"log={log} is not the folder of a service: it has no service.yaml{listed}{near and '.' + near}")
