"""SlateQ's settings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from recsys_cli.algos.q_learning.config import QLearningConfig
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.ranges import Count
from recsys_cli.envs.spec import ProblemSpec

if TYPE_CHECKING:
    from recsys_cli.algos.slateq.algorithm import OfflineSlateQ, SlateQ
    from recsys_cli.algos.slateq.network import SlateQNetwork
    from recsys_cli.config.schema import TrainConfig
    from recsys_cli.envs.base import EnvConfig
    from recsys_cli.policies.network import ScoringPolicy


LOCK_STEPS = 1_000  # of a training: some sessions one after another, even long ones
FEWEST_USERS = 16


def check_choice_model(mode: str, spec: ProblemSpec, others: str = "auto, learned, learned_proportional") -> None:
    """Refuse `choice_model=true` if the score is hidden.

    Raises:
        ConfigError: with what is allowed, which are `others`.
    """
    if mode == "true" and not spec.choice.observable and spec.choice.kind != "first_position":
        raise ConfigError(
            f"algo.choice_model=true needs an observable affinity, which env={spec.name} hides; allowed: {others}"
        )


@dataclass
class SlateQConfig(QLearningConfig):
    """SlateQ (Ie et al. 2019). Keys and defaults: see `conf/algo/slateq.yaml`."""

    memory: Literal["auto", "none", "raw", "documents", "belief"]  # type: ignore[assignment]
    critic_memory: Literal["raw", "none"]
    target: Literal["top_k", "greedy", "optimal", "sarsa"]
    serving: Literal["top_k", "greedy", "optimal"]
    null_value: Literal["learned", "zero"]
    choice_model: Literal["auto", "true", "learned", "learned_proportional"]
    users: Count | None

    learns_from: ClassVar[tuple[str, ...]] = ("env", "data")

    def __post_init__(self) -> None:
        """Check that double Q-learning goes with the target."""
        super().__post_init__()
        if self.double_q and self.target == "sarsa":
            raise ConfigError(
                "algo.double_q=true chooses the target's slate, but algo.target=sarsa takes the one actually shown; "
                "allowed: algo.double_q=false, or another algo.target"
            )

    def check(self, spec: ProblemSpec) -> None:
        """Refuse `choice_model=true` if the score is hidden, and endless episodes without discount."""
        super().check(spec)
        check_choice_model(self.choice_model, spec)
        known = spec.choice.kind == "first_position" or (spec.choice.observable and self.choice_model == "auto")
        if self.memory == "belief" and (known or self.choice_model == "true"):
            more = ", or algo.choice_model=learned" if spec.choice.observable else ""
            raise ConfigError(
                f"algo.memory=belief is learned with the choice model, and that of env={spec.name} is known; "
                f"allowed: auto, none, raw, documents{more}"
            )

    by_source: ClassVar[tuple[str, ...]] = ("learning_starts", "replay_ratio")

    def learning_from(self, data: str | None, env: EnvConfig) -> Self:
        """Also refuse prioritised replay of a log; its steps are the rows drawn, from the first one on."""
        if data is None:
            return super().learning_from(data, env)
        if self.memory == "belief":
            raise ConfigError(
                "algo.memory=belief is learned by playing and not available with data=<data set>; "
                "allowed: auto, none, raw, documents"
            )
        if self.replay == "prioritized":
            raise ConfigError("algo.replay=prioritized is not available with data=<data set>; allowed: uniform")
        return replace(super().learning_from(data, env), learning_starts=0, replay_ratio=1.0)

    def users_in(self, run: TrainConfig) -> int:
        """Return how many users each runner of a training plays in lock-step.

        If none is given: few enough for `LOCK_STEPS`. What a session is worth is only learned from sessions that have
        ended; until then values grow without bound, and what comes later has to unlearn that.
        """
        resources = run.resources
        fitting = max(run.steps // (LOCK_STEPS * max(resources.env_runners, 1)), FEWEST_USERS)
        return min(self.users or fitting, resources.users_per_runner)

    def memory_bytes(self, spec: ProblemSpec) -> dict[str, int]:
        """Add what a belief is learned from."""
        needed = super().memory_bytes(spec)
        if self.memory == "belief":
            from recsys_cli.policies.belief import evidence_features, remembered_features

            features = remembered_features("belief", spec) + evidence_features(spec)
            needed["algo.memory=belief"] = 4 * self.replay_capacity * features
        return needed

    def make_network(self, spec: ProblemSpec) -> SlateQNetwork:
        """Build the network."""
        from recsys_cli.algos.slateq.network import SlateQNetwork
        from recsys_cli.networks.last_layer import LastLayerPosterior

        network = SlateQNetwork(self, spec)
        network.posterior = LastLayerPosterior(network.values)
        return network

    def policy_of(self, network: SlateQNetwork) -> ScoringPolicy:
        """Return the policy that acts with `network`."""
        from recsys_cli.policies.q_values import QPolicy

        return QPolicy(network)

    @property
    def has_teacher(self) -> bool:
        """Whether a policy without memory learns from values that have one."""
        return self.memory == "none" and self.critic_memory == "raw"

    def algorithm(self) -> type[SlateQ]:
        """Return RLlib's algorithm."""
        from recsys_cli.algos.slateq.algorithm import SlateQ
        from recsys_cli.algos.slateq.memoryless import MemorylessSlateQ

        return MemorylessSlateQ if self.has_teacher else SlateQ

    def offline_algorithm(self) -> type[OfflineSlateQ]:
        """Return RLlib's algorithm, fed from a log."""
        from recsys_cli.algos.slateq.algorithm import OfflineSlateQ
        from recsys_cli.algos.slateq.memoryless import OfflineMemorylessSlateQ

        return OfflineMemorylessSlateQ if self.has_teacher else OfflineSlateQ
