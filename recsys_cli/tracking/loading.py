"""The policy in a checkpoint bundle; the problem's simulator is needed only to play."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from recsys_cli.config import own_classes, structured
from recsys_cli.config.compose import apply_env_overrides
from recsys_cli.config.errors import ConfigError, one_line
from recsys_cli.envs.base import EnvConfig
from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.offline.problem import sizes
from recsys_cli.policies import SlatePolicy
from recsys_cli.tracking.bundle import MANIFEST, Bundle, read_bundle
from recsys_cli.tracking.provenance import of_another_version


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
        return str(self.algo.name)

    @property
    def steps(self) -> int:
        """Steps it was trained for."""
        return int(self.bundle.info["steps"])

    @cached_property
    def algo(self) -> Any:
        """The algorithm's settings.

        Raises:
            ConfigError: their module is not here, or they are not what this version takes.
        """
        return self._built("algo", self.bundle.config.get("algo"))

    @cached_property
    def env(self) -> EnvConfig:
        """The problem with its simulator.

        Raises:
            ConfigError: the simulator's module is missing, its keys are not what this version takes, or it does not
                allow a change.
        """
        values = self.bundle.config.get("env")
        if isinstance(values, Mapping) and "played" in values:  # learned from a log
            if values["played"] is None:
                raise ConfigError(
                    f"checkpoint {self.bundle.path} was trained from the log {values.get('data')}, which cannot be "
                    "played: judge it with recsys ope, or train it with env=<simulator>"
                )
            values = values["played"]
        env: EnvConfig = self._built("env", values)
        if self.env_changes:
            env = structured.build(apply_env_overrides(values or {}, self.env_changes), "env")
        elif sizes(env.spec) != sizes(self.bundle.spec):
            raise ConfigError(
                f"checkpoint {self.bundle.path}: the policy's problem, {sizes(self.bundle.spec)}, is not what env="
                f"{env.name} is now, {sizes(env.spec)}: {MANIFEST} or the simulator was changed"
            )
        return env

    def _built(self, group: str, values: Any) -> Any:
        """Build a group of the config; what is wrong with it is the file's fault, not that of what was typed."""
        bundle = self.bundle
        if not isinstance(values, Mapping):
            raise ConfigError(f"checkpoint {bundle.path} is damaged: {MANIFEST} has no 'config.{group}'")
        try:
            with own_classes.remembering(bundle.info.get("config_path")):
                return structured.build(values, group)
        except own_classes.NotInFoldersError:
            raise
        except ConfigError as error:
            raise of_another_version(bundle.path / MANIFEST, bundle.info, error) from None

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
        learner = self.algo.for_policies(self.bundle.config.get("policies", "shared"))
        learner.check(spec)
        try:
            check_sizes(learner, spec, self.bundle.tensors)
            policy: SlatePolicy = learner.make_policy(spec, seed=0)
            policy.load_tensors(self.bundle.tensors)
        except ConfigError as error:
            asked = f"env changes {dict(self.env_changes)}: " if self.env_changes else ""
            raise ConfigError(f"checkpoint {self.bundle.path}: {asked}{error}") from None
        except (ArithmeticError, LookupError, MemoryError, RuntimeError, TypeError, ValueError) as error:
            raise ConfigError(
                f"checkpoint {self.bundle.path} is damaged: no policy comes of its {MANIFEST} and tensors: "
                f"{type(error).__name__}: {one_line(error)}"
            ) from error
        return policy


def check_sizes(algo: Any, spec: ProblemSpec, tensors: Mapping[str, np.ndarray]) -> None:
    """Compare an algorithm's networks with tensors' shapes before they take memory, as a wrong size may take all.

    Raises:
        ConfigError: they differ.
    """
    import torch

    try:
        with torch.device("meta"):  # tensors without data
            algo.make_policy(spec, seed=0).load_tensors(tensors)
    except NotImplementedError:
        return  # an algorithm of the user's that looks at its initial weights


def load_checkpoint(folder: Path, env_changes: Mapping[str, Any] | None = None) -> Checkpoint:
    """Read a bundle.

    Args:
        folder: the bundle.
        env_changes: keys of the env to change, nested.

    Raises:
        ConfigError: no sound bundle.
    """
    checkpoint = Checkpoint(read_bundle(folder), env_changes or {})
    if "steps" not in checkpoint.bundle.info:
        raise ConfigError(f"checkpoint {folder} is damaged: {MANIFEST} has no 'info.steps'")
    return checkpoint


def check_start(algo: Any, spec: ProblemSpec, bundle: Bundle) -> None:
    """Refuse a checkpoint from which a training on a problem cannot start.

    Raises:
        ConfigError: its parameters do not fit, or it has none.
    """
    name = bundle.config["algo"]["name"]
    if not bundle.tensors:
        raise ConfigError(f"a checkpoint of {name} has no parameters to start from")
    try:
        check_sizes(algo, spec, bundle.tensors)
    except ConfigError as error:
        if name == algo.name:
            raise
        raise ConfigError(f"algo={algo.name} cannot start from a checkpoint of {name}: {error}") from None
