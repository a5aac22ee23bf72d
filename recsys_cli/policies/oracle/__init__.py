"""Oracles: policies that know the hidden state. One module per problem, found by the problem's name.

A module has `make_oracle(seed) -> SlatePolicy`; the oracle takes the problem's parameters and hidden states from the
env given to `SlatePolicy.watch`.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from recsys_cli.config.errors import ConfigError
from recsys_cli.envs.groups import group_problems
from recsys_cli.policies.routed import RoutedPolicy

if TYPE_CHECKING:
    from recsys_cli.envs.spec import ProblemSpec
    from recsys_cli.policies.base import SlatePolicy


def problems_with_oracle() -> list[str]:
    """Return the names of the problems that have an oracle."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def problems_of(spec: ProblemSpec) -> list[str]:
    """Return the names of the problems that need an oracle: those of the groups of users, if there are any."""
    return [each.name for each in spec.groups.values()] or [spec.name]


def check_oracle(spec: ProblemSpec) -> None:
    """Refuse a problem without an oracle.

    Raises:
        ConfigError: names the problems that have one.
    """
    for name in problems_of(spec):
        if name not in problems_with_oracle():
            allowed = ", ".join(problems_with_oracle())
            raise ConfigError(f"algo=oracle is not available for env={name}; it is for {allowed}")


def make_oracle(spec: ProblemSpec, seed: int) -> SlatePolicy:
    """Build the problem's oracle.

    Raises:
        ConfigError: the problem has none.
    """
    check_oracle(spec)
    if spec.groups:
        return RoutedPolicy({name: make_oracle(each, seed) for name, each in group_problems(spec).items()})
    policy: SlatePolicy = importlib.import_module(f"{__name__}.{spec.name}").make_oracle(seed)
    policy.slate_size = spec.slate_size
    return policy
