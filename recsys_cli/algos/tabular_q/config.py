"""Settings of tabular Q-learning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from recsys_cli.algos.base import AlgoConfig
from recsys_cli.algos.discounting import check_discount, discount_on
from recsys_cli.algos.enumerated import check_slates
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.ranges import Count, Fraction, PositiveFraction, Signed
from recsys_cli.envs.spec import ProblemSpec

if TYPE_CHECKING:
    from recsys_cli.algos.logged_training import LoggedTraining
    from recsys_cli.algos.tabular_q.algorithm import TabularQ
    from recsys_cli.policies.tabular_q import TabularQPolicy


@dataclass
class TabularQConfig(AlgoConfig):
    """Tabular Q-learning. Keys and defaults: see `conf/algo/tabular_q.yaml`."""

    max_entries: Count
    max_slates: Count
    user_bins: Count
    doc_bins: Count
    bounds: tuple[Signed, Signed]
    discount: Fraction | None
    memory: Literal["none", "raw", "documents"]
    lr: PositiveFraction
    lr_schedule: Literal["visits", "constant"]
    exploration: Literal["epsilon_greedy", "min_count"]
    rollout_length: Count
    epsilon_initial: Fraction
    epsilon_final: Fraction
    epsilon_fraction: Fraction

    learns_from: ClassVar[tuple[str, ...]] = ("env", "data")
    several_learners: ClassVar[bool] = False  # the table is in one place, on the CPU
    uses_gpus: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check the bounds."""
        low, high = self.bounds
        if low >= high:
            raise ConfigError(f"algo.bounds=[{low:g},{high:g}] must be two numbers, the first below the second")

    def check(self, spec: ProblemSpec) -> None:
        """Refuse problems with more slates, or a larger table, than allowed."""
        from recsys_cli.policies.discretisation import Discretisation

        check_discount(self.discount, spec)
        check_slates(self.name, self.max_slates, spec)
        users, kinds = Discretisation(spec, self.memory, self.user_bins, self.doc_bins, self.bounds).shape
        if users * kinds > self.max_entries:
            raise ConfigError(
                f"algo={self.name} keeps a value for every kind of user and every kind of slate: {users:,} x {kinds:,} "
                f"for env={spec.name} with algo.user_bins={self.user_bins}, algo.doc_bins={self.doc_bins}; "
                f"limit algo.max_entries={self.max_entries:,}. Use algo=full_slate_q, or fewer bins or topics"
            )

    def make_policy(self, spec: ProblemSpec, seed: int = 0) -> TabularQPolicy:
        """Build the policy, untrained."""
        from recsys_cli.policies.discretisation import Discretisation
        from recsys_cli.policies.tabular_q import QTable, TabularQPolicy

        bins = Discretisation(spec, self.memory, self.user_bins, self.doc_bins, self.bounds)
        table = QTable(bins.shape, self.lr, averaging=self.lr_schedule == "visits")
        least_visited = self.exploration == "min_count"
        # If all users are of one kind, what follows adds the same to all slates' values: nothing but noise.
        discount = 0.0 if self.discount is None and bins.shape[0] == 1 else discount_on(self.discount, spec)
        return TabularQPolicy(spec, bins, table, discount, least_visited)

    def offline_algorithm(self) -> type[LoggedTraining]:
        """Return a training in this process."""
        from recsys_cli.algos.logged_training import LoggedTraining

        return LoggedTraining

    def algorithm(self) -> type[TabularQ]:
        """Return RLlib's algorithm."""
        from recsys_cli.algos.tabular_q.algorithm import TabularQ

        return TabularQ
