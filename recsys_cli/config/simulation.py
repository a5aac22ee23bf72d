"""Schema of `conf/simulate.yaml`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.ranges import Between, Cap, Count, Fraction, NonNegative, Positive, Seed, Text
from recsys_cli.config.schema import RootConfig
from recsys_cli.config.serving import require_packages


@dataclass(frozen=True)
class SimulateConfig(RootConfig):
    """`conf/simulate.yaml`: simulated users of a service."""

    env: Any
    serve: Text
    users: Count
    rate: Positive | None
    requests: Annotated[Count, Cap(100_000)]
    active: Annotated[Count, Cap(1_000_000)]
    clients: Annotated[Count, Cap(1_000)]
    delay: NonNegative
    lose: Fraction
    duplicate: Fraction
    timeout: Positive
    retries: Annotated[int, Between(0, 1_000)]
    token_file: Text | None
    seed: Seed
    output: Text | None
    progress: Literal["auto", "rich", "plain", "off"]

    def __post_init__(self) -> None:
        """Check what is installed, the address, and that users fit into requests."""
        require_packages("simulate", ("msgspec", "urllib3"))
        parts = urlsplit(self.serve)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ConfigError(f"serve={self.serve} must be an address such as http://127.0.0.1:8000")
        if self.active < self.requests:
            raise ConfigError(f"active={self.active} must be at least requests={self.requests}, the users per request")
