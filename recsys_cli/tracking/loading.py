"""The policy that a checkpoint bundle holds: all it takes is the bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys_cli.config import own_classes, structured
from recsys_cli.config.compose import apply_env_overrides
from recsys_cli.config.errors import ConfigError
from recsys_cli.envs.base import EnvConfig
from recsys_cli.policies import SlatePolicy
from recsys_cli.tracking.bundle import Bundle, read_bundle


@dataclass(frozen=True)
class LoadedPolicy:
    """A policy out of a bundle, with the problem it is to act on."""

    name: str
    policy: SlatePolicy
    env: EnvConfig
    bundle: Bundle


def load_policy(folder: Path, env_changes: Mapping[str, Any] | None = None) -> LoadedPolicy:
    """Rebuild a bundle's policy.

    Args:
        folder: the bundle.
        env_changes: keys of the env to change, nested.

    Raises:
        ConfigError: no sound bundle, a change that the env or the policy does not allow.
    """
    bundle = read_bundle(folder)
    with own_classes.remembering(bundle.info.get("config_path")):
        env = structured.build(apply_env_overrides(bundle.config["env"], env_changes or {}), "env")
        algo = structured.build(bundle.config["algo"], "algo")
    algo.check(env)
    policy = algo.make_policy(env, seed=0)
    try:
        policy.load_tensors(bundle.tensors)
    except ConfigError as error:
        asked = f"env changes {dict(env_changes)}: " if env_changes else ""
        raise ConfigError(f"{asked}{error}") from None
    return LoadedPolicy(algo.name, policy, env, bundle)
