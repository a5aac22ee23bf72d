"""The policy in a checkpoint bundle; the problem's simulator is needed only to play."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from recsys_cli.config import own_classes, structured
from recsys_cli.config.compose import apply_env_overrides
from recsys_cli.config.errors import ConfigError
from recsys_cli.envs.base import EnvConfig
from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.policies import SlatePolicy
from recsys_cli.tracking.bundle import Bundle, read_bundle


@dataclass(frozen=True)
class Checkpoint:
    """A bundle's policy, its algorithm, and the problem that it will act on.

    Attributes:
        bundle: as read.
        env_changes: keys of the env that differ from the training's, nested.
    """

    bundle: Bundle
    env_changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The algorithm's name."""
        return str(self.bundle.config["algo"]["name"])

    @cached_property
    def algo(self) -> Any:
        """The algorithm's settings.

        Raises:
            ConfigError: their module is not here.
        """
        return self._built(self.bundle.config["algo"], "algo")

    @cached_property
    def env(self) -> EnvConfig:
        """The problem with its simulator.

        Raises:
            ConfigError: the simulator's module is missing, or it does not allow a change.
        """
        env: EnvConfig = self._built(apply_env_overrides(self.bundle.config["env"], self.env_changes), "env")
        return env

    def _built(self, values: Mapping[str, Any], group: str) -> Any:
        with own_classes.remembering(self.bundle.info.get("config_path")):
            return structured.build(values, group)

    @property
    def spec(self) -> ProblemSpec:
        """The problem as the policy knows it; the simulator is asked only if its keys were changed."""
        return self.env.spec if self.env_changes else self.bundle.spec

    @cached_property
    def policy(self) -> SlatePolicy:
        """The policy.

        Raises:
            ConfigError: a change that the env or the policy does not allow.
        """
        return self.policy_for(self.spec)

    def policy_for(self, spec: ProblemSpec) -> SlatePolicy:
        """Return the policy, to act on another problem.

        Raises:
            ConfigError: the learned parameters do not fit it.
        """
        self.algo.check(spec)
        policy = self.algo.make_policy(spec, seed=0)
        try:
            policy.load_tensors(self.bundle.tensors)
        except ConfigError as error:
            asked = f"env changes {dict(self.env_changes)}: " if self.env_changes else ""
            raise ConfigError(f"{asked}{error}") from None
        return policy


def load_checkpoint(folder: Path, env_changes: Mapping[str, Any] | None = None) -> Checkpoint:
    """Read a bundle.

    Args:
        folder: the bundle.
        env_changes: keys of the env to change, nested.

    Raises:
        ConfigError: no sound bundle.
    """
    return Checkpoint(read_bundle(folder), env_changes or {})
