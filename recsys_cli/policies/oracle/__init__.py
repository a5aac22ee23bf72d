"""Oracles: policies that know the hidden state. One module a problem, named as the problem, found by that name.

A module offers `make_oracle(env, seed) -> SlatePolicy`; it looks inside the env that `SlatePolicy.watch` gives it.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from recsys_cli.config.errors import ConfigError

if TYPE_CHECKING:
    from recsys_cli.envs.base import EnvConfig
    from recsys_cli.policies.base import SlatePolicy


def problems_with_oracle() -> list[str]:
    """Return the names of the problems that have an oracle."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def check_oracle(env: EnvConfig) -> None:
    """Refuse a problem without an oracle.

    Raises:
        ConfigError: names the problems that have one.
    """
    if env.name not in problems_with_oracle():
        allowed = ", ".join(problems_with_oracle())
        raise ConfigError(f"algo=oracle is not available for env={env.name}; it is for {allowed}")


def make_oracle(env: EnvConfig, seed: int) -> SlatePolicy:
    """Build the problem's oracle.

    Raises:
        ConfigError: the problem has none.
    """
    check_oracle(env)
    policy: SlatePolicy = importlib.import_module(f"{__name__}.{env.name}").make_oracle(env, seed)
    return policy
