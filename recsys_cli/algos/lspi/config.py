"""Settings of least-squares policy iteration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from recsys_cli.algos.base import AlgoConfig
from recsys_cli.algos.discounting import check_discount, discount_on
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.ranges import Count, Fraction, Positive, StepsOrZero
from recsys_cli.envs.spec import ProblemSpec

if TYPE_CHECKING:
    from recsys_cli.algos.lspi.iteration import Design
    from recsys_cli.algos.lspi.offline import OfflineLSPI
    from recsys_cli.algos.lspi.online import OnlineLSPI
    from recsys_cli.policies.lspi import LSPIPolicy
    from recsys_cli.policies.memory import MemoryKind

RIDGES = (0.01, 0.1, 1.0, 3.0, 10.0)
MOST_FEATURES = 4_000  # a system of so many unknowns takes some seconds and half a gigabyte


@dataclass
class LSPIConfig(AlgoConfig):
    """LSPI (Lagoudakis & Parr 2003) with SlateQ's decomposition. Keys and defaults: see `conf/algo/lspi.yaml`."""

    discount: Fraction | None
    memory: Literal["auto", "none", "raw", "documents"]
    features: Literal["auto", "additive", "crossed", "full"]
    ridge: Positive | None
    fourier: Count
    rounds: Count
    settled: Fraction
    users: Count
    epsilon: Fraction
    learning_starts: StepsOrZero
    growth: Positive
    replay_capacity: Count

    learns_from: ClassVar[tuple[str, ...]] = ("env", "data")
    starts_from: ClassVar[str] = "the features of {}; the values are solved anew"
    several_learners: ClassVar[bool] = False  # one system of equations, on the CPU
    uses_gpus: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check that what is started from is kept."""
        if self.learning_starts >= self.replay_capacity:
            raise ConfigError(
                f"algo.learning_starts={self.learning_starts} must be below algo.replay_capacity={self.replay_capacity}"
            )

    def check(self, spec: ProblemSpec) -> None:
        """Refuse endless episodes without discount, and systems that are too large."""
        check_discount(self.discount, spec)
        size = self.make_policy(spec).features.size
        if size > MOST_FEATURES:
            raise ConfigError(
                f"algo=lspi would have {size:,} features on env={spec.name} (at most {MOST_FEATURES:,}): "
                "use algo.memory=none or raw, or another algorithm, such as slateq"
            )

    def memory_bytes(self, spec: ProblemSpec) -> dict[str, int]:
        """Return the buffer's size."""
        capacity = f"algo.replay_capacity={self.replay_capacity:,} with env.num_candidates={spec.width:,}"
        return {capacity: self.replay_capacity * (spec.observation_bytes + spec.slate_size)}

    def design(self, spec: ProblemSpec) -> Design:
        """Return the settings in the iteration's form."""
        from recsys_cli.algos.lspi.iteration import Design

        ridges = RIDGES if self.ridge is None else (self.ridge,)
        return Design(self.features, ridges, self.rounds, self.settled, discount_on(self.discount, spec))

    def remembered(self, spec: ProblemSpec) -> MemoryKind:
        """Return the memory; `auto`: users without features are told apart by the documents they have seen alone."""
        if self.memory != "auto":
            return self.memory
        return "raw" if len(spec.user) else "documents"

    def make_policy(self, spec: ProblemSpec, seed: int = 0) -> LSPIPolicy:
        """Build the policy, untrained; the seed is of random features only."""
        from recsys_cli.policies.lspi import LSPIPolicy

        return LSPIPolicy(spec, self.remembered(spec), self.fourier, self.epsilon, seed)

    def algorithm(self) -> type[OnlineLSPI]:
        """Return a training by playing, in this process."""
        from recsys_cli.algos.lspi.online import OnlineLSPI

        return OnlineLSPI

    def offline_algorithm(self) -> type[OfflineLSPI]:
        """Return a training from a data set, in this process."""
        from recsys_cli.algos.lspi.offline import OfflineLSPI

        return OfflineLSPI
