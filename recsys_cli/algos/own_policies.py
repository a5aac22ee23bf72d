"""An algorithm that learns a policy of its own for each group of users (`policies=own`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_cli.algos.base import AlgoConfig
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.resources import FrameworkConfig, ResourcesConfig
from recsys_cli.envs.groups import group_problems
from recsys_cli.envs.spec import ProblemSpec

if TYPE_CHECKING:
    from recsys_cli.algos.training import Trainer
    from recsys_cli.policies.routed import RoutedPolicy


@dataclass
class OwnPolicies(AlgoConfig):
    """Learns each group's policy from that group's users alone, as if there were no others.

    Attributes:
        algo: what learns each policy.
    """

    algo: AlgoConfig

    def check(self, spec: ProblemSpec) -> None:
        """Check every group's problem.

        Raises:
            ConfigError: there are no groups, none that can be told apart, or one that the algorithm cannot handle.
        """
        if not spec.groups:
            raise ConfigError(
                f"policies=own needs groups of users that can be told apart, which env={spec.name} has not; allowed: "
                "policies=shared, or env=groups with env.group_observed=true"
            )
        for name, problem in group_problems(spec).items():
            try:
                self.algo.check(problem)
            except ConfigError as error:
                raise ConfigError(f"env.groups.{name}: {error}") from None

    def check_steps(self, steps: int) -> None:
        """See `AlgoConfig.check_steps`; the steps are those of the smallest group."""
        self.algo.check_steps(steps)

    def memory_bytes(self, spec: ProblemSpec) -> dict[str, int]:
        """Return what the groups' trainings hold together."""
        total: dict[str, int] = {}
        for problem in group_problems(spec).values():
            for key, size in self.algo.memory_bytes(problem).items():
                total[key] = total.get(key, 0) + size
        return total

    @property
    def compiles(self) -> bool:
        """See `AlgoConfig.compiles`."""
        return self.algo.compiles

    def check_resources(self, resources: ResourcesConfig, framework: FrameworkConfig) -> None:
        """See `AlgoConfig.check_resources`; the groups take turns in the trial's own process."""
        self.algo.check_resources(resources, framework)
        for key in ("env_runners", "evaluation_runners", "learners"):
            if number := getattr(resources, key):
                raise ConfigError(
                    f"resources.{key}={number}: with policies=own the groups take turns in one process; allowed: 0"
                )

    def make_policy(self, spec: ProblemSpec, seed: int = 0) -> RoutedPolicy:
        """See `AlgoConfig.make_policy`."""
        from recsys_cli.policies.routed import RoutedPolicy

        problems = group_problems(spec)
        return RoutedPolicy({name: self.algo.make_policy(problem, seed) for name, problem in problems.items()})

    def algorithm(self) -> type[Trainer]:
        """See `AlgoConfig.algorithm`."""
        from recsys_cli.algos.group_training import GroupTraining

        return GroupTraining

    def trains_on(self, spec: ProblemSpec) -> bool:
        """Whether env steps teach any group's policy something."""
        return any(self.algo.trains_on(problem) for problem in group_problems(spec).values())
