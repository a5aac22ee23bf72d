"""Settings of tabular Q-learning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from recsys_cli.algos.base import AlgoConfig
from recsys_cli.algos.discounting import check_discount, discount_on
from recsys_cli.algos.enumerated import check_slates
from recsys_cli.config.errors import ConfigError
from recsys_cli.envs.spec import ProblemSpec

if TYPE_CHECKING:
    from recsys_cli.algos.training import Training
    from recsys_cli.config.schema import TrainConfig
    from recsys_cli.policies.tabular_q import TabularQPolicy


@dataclass
class TabularQConfig(AlgoConfig):
    """Tabular Q-learning. Keys are explained, and defaults given, in `conf/algo/tabular_q.yaml`."""

    max_entries: int
    max_slates: int
    user_bins: int
    doc_bins: int
    bounds: tuple[float, float]
    discount: float | None
    memory: Literal["none", "raw", "documents"]
    lr: float
    lr_schedule: Literal["visits", "constant"]
    exploration: Literal["epsilon_greedy", "min_count"]
    rollout_length: int
    epsilon_initial: float
    epsilon_final: float
    epsilon_fraction: float

    several_learners: ClassVar[bool] = False  # the table is in one place, on the CPU
    uses_gpus: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check ranges."""
        self.not_below(1, "max_entries", "max_slates", "user_bins", "doc_bins", "rollout_length")
        self.in_range("epsilon_initial", "epsilon_final", "epsilon_fraction", "discount")
        if not 0 < self.lr <= 1:
            raise ConfigError(f"algo.lr={self.lr} must lie above 0 and at most at 1")
        low, high = self.bounds
        if not float("-inf") < low < high < float("inf"):
            raise ConfigError(f"algo.bounds=[{low:g},{high:g}] must be two finite numbers, the first below the second")

    def check(self, spec: ProblemSpec) -> None:
        """Refuse problems with more slates, or a larger table, than allowed."""
        from recsys_cli.policies.discretisation import Discretisation

        check_discount(self.discount, spec)
        check_slates(self.name, self.max_slates, spec)
        users, kinds = Discretisation(spec, self.memory, self.user_bins, self.doc_bins, self.bounds).shape
        if users * kinds > self.max_entries:
            raise ConfigError(
                f"algo={self.name} keeps a value of every kind of user with every kind of slate: {users:,} x {kinds:,} "
                f"for env={spec.name} with algo.user_bins={self.user_bins}, algo.doc_bins={self.doc_bins}; "
                f"limit algo.max_entries={self.max_entries:,}. Take algo=full_slate_q, or fewer bins or topics"
            )

    def make_policy(self, spec: ProblemSpec, seed: int = 0) -> TabularQPolicy:
        """Build the policy, untrained."""
        from recsys_cli.policies.discretisation import Discretisation
        from recsys_cli.policies.tabular_q import QTable, TabularQPolicy

        bins = Discretisation(spec, self.memory, self.user_bins, self.doc_bins, self.bounds)
        table = QTable(bins.shape, self.lr, averaging=self.lr_schedule == "visits")
        least_visited = self.exploration == "min_count"
        return TabularQPolicy(spec, bins, table, discount_on(self.discount, spec), least_visited)

    def module_class(self) -> type:
        """Return the RLlib module, the one of policies that learn by themselves."""
        from recsys_cli.algos.bandits.module import BanditModule

        return BanditModule

    def learner_class(self) -> type:
        """Return the RLlib learner, the one of policies that learn by themselves."""
        from recsys_cli.algos.bandits.learner import BanditLearner

        return BanditLearner

    def make_training(self, run: TrainConfig, seed: int) -> Training:
        """Build RLlib's algorithm."""
        from recsys_cli.algos.rllib_training import RLlibTraining
        from recsys_cli.algos.tabular_q.algorithm import TabularQAlgorithmConfig

        config = TabularQAlgorithmConfig()
        config.of_run(self, run, seed)
        return RLlibTraining(config)
