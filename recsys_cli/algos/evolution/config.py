"""The settings that searches in the space of weights share."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from recsys_cli.algos.base import AlgoConfig
from recsys_cli.algos.network_config import ScorerConfig
from recsys_cli.algos.slateq.config import check_choice_model
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.ranges import Count, Fraction, LearningRate, Positive
from recsys_cli.envs.spec import ProblemSpec

if TYPE_CHECKING:
    from recsys_cli.algos.evolution.training import Evolution
    from recsys_cli.algos.slateq.network import SlateQNetwork
    from recsys_cli.policies.network import ScoringPolicy


@dataclass
class RankingConfig(ScorerConfig):
    """A network whose values only rank slates: their unit does not matter."""

    kind: Literal["two_tower", "documents"]

    scale: ClassVar[float] = 1.0


@dataclass
class EvolutionConfig(AlgoConfig):
    """Search in the space of weights by whole episodes. Keys and defaults: see `conf/algo/_evolution.yaml`.

    Attributes:
        null_value: whether the value of no click is searched for too; it always is.
        serving: how a slate is built; always exactly.
    """

    memory: Literal["none", "raw", "documents"]
    network: RankingConfig
    choice_model: Literal["auto", "true", "none"]
    normalise: bool
    population: Count
    episodes: Count
    noise: Positive
    lr: LearningRate
    lr_schedule: Literal["linear", "constant"]
    lr_final_fraction: Fraction

    null_value: ClassVar[str] = "learned"
    serving: ClassVar[str] = "optimal"
    changeable: ClassVar[tuple[str, ...]] = ("lr", "noise")
    several_learners: ClassVar[bool] = False  # a sum over the population, on the CPU
    uses_gpus: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check that perturbations come in pairs, and that the network sees the memory."""
        if self.population % 2:
            raise ConfigError(f"algo.population={self.population} must be even: each perturbation has its mirror image")
        self.network.check_memory(self.memory)

    def check(self, spec: ProblemSpec) -> None:
        """Refuse a choice model that is hidden."""
        if self.choice_model == "true":
            check_choice_model(self.choice_model, spec, "auto, none")

    def memory_bytes(self, spec: ProblemSpec) -> dict[str, int]:
        """Return the size of all networks, and of the users that play at the same time."""
        users = f"algo.population={self.population:,} with algo.episodes={self.episodes:,}"
        each = 8 * self.network.weights(len(spec.user)) + 2 * self.episodes * spec.observation_bytes
        return {users: self.population * each}

    def make_policy(self, spec: ProblemSpec, seed: int = 0) -> ScoringPolicy:
        """Build the policy, untrained."""
        from recsys_cli.policies.network import ScoringPolicy, seeded

        return ScoringPolicy(seeded(seed, lambda: self.make_network(spec)))

    def make_network(self, spec: ProblemSpec) -> SlateQNetwork:
        """Build the network, with weights from torch's random stream."""
        from recsys_cli.algos.slateq.network import SlateQNetwork
        from recsys_cli.networks.choice import FirstPositionChoice, LearnedChoice

        network = SlateQNetwork(self, spec)  # type: ignore[arg-type]  # has all that it reads
        if isinstance(network.choice, LearnedChoice):
            network.choice = FirstPositionChoice()  # if all weigh alike, the k items of greatest value are best
        return network

    @abstractmethod
    def algorithm(self) -> type[Evolution]:
        """Return the search, in this process."""
