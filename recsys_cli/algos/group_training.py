"""Training of a policy for each group of users: one training each, in turn."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from recsys_cli.algos.training import Training
from recsys_cli.policies.routed import RoutedPolicy

if TYPE_CHECKING:
    from recsys_cli.algos.own_policies import OwnPolicies
    from recsys_cli.config.schema import TrainConfig
    from recsys_cli.envs.groups import GroupsConfig

LEARNED = "learner/"


class GroupTraining(Training):
    """Lets every group's training make its share of the steps, with its share of the users.

    A group is trained exactly as it would be alone, with so many steps and users.
    """

    def __init__(self, trainings: Mapping[str, Training], env: GroupsConfig, report_every: int) -> None:
        """Take the groups' trainings, the problem, and the steps per report."""
        self._trainings, self._env, self._report_every = dict(trainings), env, report_every

    @classmethod
    def of_run(cls, settings: OwnPolicies, run: TrainConfig, seed: int) -> GroupTraining:
        """Build a training of a run's problem with these settings."""
        runs = group_runs(run)
        trainings = {name: settings.algo.make_training(own, seed) for name, own in runs.items()}
        return cls(trainings, run.env, run.report_every)

    @property
    def steps(self) -> int:
        """Env steps of all groups."""
        return sum(training.steps for training in self._trainings.values())

    @property
    def env(self) -> GroupsConfig:
        """The problem."""
        return self._env

    @property
    def settled(self) -> bool:
        """Whether no group has anything left to learn."""
        return all(training.settled for training in self._trainings.values())

    def step(self) -> dict[str, float]:
        """Train every group up to its share of the steps; return its metrics and, of `train/`, the users' means.

        `train/return` of a group is `train/<group>/return`, `learner/loss` is `learner/<group>/loss`.
        """
        shares, found = self._env.shares, dict[str, dict[str, float]]()
        going = {name: training for name, training in self._trainings.items() if not training.settled}
        due = self._report_every + min((each.steps / shares[name] for name, each in going.items()), default=0)
        for name, training in going.items():
            while training.steps < shares[name] * due and not training.settled:
                found[name] = found.get(name, {}) | training.step()
        means: dict[str, float] = {}
        for metric in dict.fromkeys(metric for metrics in found.values() for metric in metrics):
            values = {name: metrics[metric] for name, metrics in found.items() if metric in metrics}
            section, _, rest = metric.partition("/")
            means |= {f"{section}/{name}/{rest}": value for name, value in values.items()}
            if not metric.startswith(LEARNED) and len(values) == len(self._trainings):
                means[metric] = sum(shares[name] * value for name, value in values.items())
        return means

    def policy(self) -> RoutedPolicy:
        """Return the groups' policies as one."""
        return RoutedPolicy({name: training.policy() for name, training in self._trainings.items()})

    def start_from(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        """See `Training.start_from`."""
        for name, training in self._trainings.items():
            start = f"{name}."
            training.start_from(
                {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
            )

    def save(self, folder: Path) -> None:
        """Write every group's state into a folder of its own."""
        for name, training in self._trainings.items():
            own = folder / name
            own.mkdir(parents=True, exist_ok=True)
            training.save(own)

    def restore(self, folder: Path) -> None:
        """Continue from what `save` wrote."""
        for name, training in self._trainings.items():
            training.restore(folder / name)

    def stop(self) -> None:
        """End every group's training."""
        for training in self._trainings.values():
            training.stop()


def group_runs(run: TrainConfig) -> dict[str, TrainConfig]:
    """Return each group's run: its own problem, and its share of steps and users."""
    return {name: _run_of(run, group.share, group.env) for name, group in run.env.parts.items()}


def _run_of(run: TrainConfig, share: float, env: Any) -> TrainConfig:
    users = max(1, round(share * run.resources.users_per_runner))
    return dataclasses.replace(
        run,
        env=env,
        policies="shared",
        steps=math.ceil(share * run.steps),
        report_every=max(1, math.ceil(share * run.report_every)),
        resources=dataclasses.replace(run.resources, users_per_runner=users),
    )
