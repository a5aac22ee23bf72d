"""The policy that logs a data set: made for recording, and found again in the data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys_cli.algos.base import AlgoConfig
from recsys_cli.config import folders, structured
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.explore import Explore
from recsys_cli.envs.base import EnvConfig
from recsys_cli.files import atomic_dir
from recsys_cli.offline.dataset import BEHAVIOUR, Dataset
from recsys_cli.policies import SlatePolicy
from recsys_cli.policies.exploration import ExploringPolicy
from recsys_cli.policies.oracle._base import OraclePolicy
from recsys_cli.tracking.bundle import copy_bundle, plain, write_bundle
from recsys_cli.tracking.loading import load_checkpoint
from recsys_cli.tracking.provenance import versions


@dataclass(frozen=True)
class Behaviour:
    """A policy on a problem, and how it explores.

    Attributes:
        name: the algorithm's.
        policy: as it is served, without exploration.
        env: the problem.
        explore: how it explores.
        bundle: checkpoint it comes from; None: an algorithm that has nothing to learn.
        algo: the algorithm's settings.
        steps: steps it was trained for.
    """

    name: str
    policy: SlatePolicy
    env: EnvConfig
    explore: Explore
    bundle: Path | None
    algo: Any
    steps: int

    @classmethod
    def of_checkpoint(cls, folder: Path, explore: Explore, env_changes: Mapping[str, Any]) -> Behaviour:
        """Return a checkpoint's policy.

        Raises:
            ConfigError: no sound bundle, or a change that env or policy does not allow.
        """
        loaded = load_checkpoint(folder, env_changes)
        return cls(loaded.name, loaded.policy, loaded.env, explore, folder, loaded.algo, loaded.steps)

    @classmethod
    def untrained(cls, algo: AlgoConfig, env: EnvConfig, explore: Explore) -> Behaviour:
        """Return the policy of an algorithm that has nothing to learn on a problem.

        Raises:
            ConfigError: it has.
        """
        if algo.trains_on(env.spec):
            raise ConfigError(
                f"algo={algo.name} learns before it acts: train it (recsys train env={env.name} algo={algo.name}) and "
                "name the run, as checkpoint=<run id>"
            )
        return cls(algo.name, algo.make_policy(env.spec), env, explore, None, algo, 0)

    @property
    def acting(self) -> SlatePolicy:
        """The policy that logs: its `distribution` is what slates are drawn from."""
        return ExploringPolicy(self.policy, self.explore)

    def warnings(self) -> list[str]:
        """Return what its log will not allow."""
        if self.explore.kind == "thompson":
            return [
                f"{self.name} {self.explore} is known by draws only: the log will have no propensities, which "
                "importance weighting needs"
            ]
        if self.explore.kind == "none" and not self.policy.served_by_draws:
            return [
                f"{self.name} is certain of its slates: nothing about other policies can be judged from this log; "
                "explore=epsilon:0.1 or explore=plackett_luce:1.0 lets it try others"
            ]
        return []

    def about(self) -> dict[str, Any]:
        """Return what a data set says of it, in plain values."""
        env = plain(structured.to_plain(self.env), "env")
        return {"behaviour": self.name, "trained_steps": self.steps, "explore": str(self.explore), "env": env}

    def keep(self, folder: Path) -> None:
        """Write its bundle into a data set's folder, unless it is there."""
        if (folder / BEHAVIOUR).is_dir():
            return
        if self.bundle is not None:
            copy_bundle(self.bundle, folder / BEHAVIOUR)
            return
        with atomic_dir(folder / BEHAVIOUR) as temporary:
            write_bundle(
                temporary,
                config={"env": structured.to_plain(self.env), "algo": structured.to_plain(self.algo)},
                spec=self.env.spec,
                policy_state=self.policy.tensors(),
                info={"steps": self.steps, "config_path": folders.origins(), "versions": versions()},
            )


def behaviour_of(dataset: Dataset) -> SlatePolicy | None:
    """Return the policy that logged a data set, with its exploration.

    None if the data set does not hold it, or it is an oracle's, which acts on hidden states that no log has.
    Its `distribution` is what the logged slates were drawn from.

    Raises:
        ConfigError: it is damaged.
    """
    folder = dataset.folder / BEHAVIOUR
    if not folder.is_dir():
        return None
    policy = load_checkpoint(folder).policy_for(dataset.spec)
    if isinstance(policy, OraclePolicy):
        return None
    return ExploringPolicy(policy, Explore.parse(str(dataset.about["explore"]), "about.explore"))
