"""Settings of the myopic baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from recsys_cli.algos.base import AlgoConfig
from recsys_cli.config.ranges import Positive
from recsys_cli.envs.spec import ProblemSpec

if TYPE_CHECKING:
    from recsys_cli.algos.baseline_training import BaselineTraining
    from recsys_cli.algos.logged_training import LoggedTraining
    from recsys_cli.policies.myopic import MyopicPolicy


@dataclass
class MyopicConfig(AlgoConfig):
    """The slate of greatest expected immediate reward.

    Attributes:
        ridge: precision of the Gaussian prior of every learned weight.
    """

    ridge: Positive

    learns_from: ClassVar[tuple[str, ...]] = ("env", "data")

    def make_policy(self, spec: ProblemSpec, seed: int = 0) -> MyopicPolicy:
        """Build the policy, untrained; it is deterministic and ignores the seed."""
        from recsys_cli.policies.myopic import MyopicPolicy

        return MyopicPolicy(spec, self.ridge)

    def offline_algorithm(self) -> type[LoggedTraining]:
        """Return a training in this process."""
        from recsys_cli.algos.logged_training import LoggedTraining

        return LoggedTraining

    def algorithm(self) -> type[BaselineTraining]:
        """Return a training in this process."""
        from recsys_cli.algos.baseline_training import BaselineTraining

        return BaselineTraining

    def trains_on(self, spec: ProblemSpec) -> bool:
        """Whether the affinity is hidden, so that clicks teach something."""
        return not spec.choice.observable
