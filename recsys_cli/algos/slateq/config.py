"""SlateQ's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from recsys_cli.algos.q_learning.config import QLearningConfig
from recsys_cli.config.errors import ConfigError
from recsys_cli.envs.base import EnvConfig

if TYPE_CHECKING:
    from recsys_cli.algos.slateq.algorithm import SlateQ
    from recsys_cli.algos.slateq.network import SlateQNetwork


@dataclass
class SlateQConfig(QLearningConfig):
    """SlateQ (Ie et al. 2019). Keys are explained, and defaults given, in `conf/algo/slateq.yaml`."""

    target: Literal["top_k", "greedy", "optimal", "sarsa"]
    serving: Literal["top_k", "greedy", "optimal"]
    null_value: Literal["learned", "zero"]
    choice_model: Literal["auto", "true", "learned", "learned_proportional"]

    def __post_init__(self) -> None:
        """Check that double Q-learning goes with the target."""
        super().__post_init__()
        if self.double_q and self.target == "sarsa":
            raise ConfigError(
                "algo.double_q=true chooses the target's slate, but algo.target=sarsa takes the one really shown; "
                "allowed: algo.double_q=false, or another algo.target"
            )

    def check(self, env: EnvConfig) -> None:
        """Refuse `choice_model=true` where the score is hidden, and endless episodes without discount."""
        super().check(env)
        spec = env.choice_spec()
        if self.choice_model == "true" and not spec.observable and spec.kind != "first_position":
            raise ConfigError(
                f"algo.choice_model=true needs an observable affinity, which env={env.name} hides; "
                "allowed: auto, learned, learned_proportional"
            )

    def make_network(self, env: EnvConfig) -> SlateQNetwork:
        """Build the network."""
        from recsys_cli.algos.slateq.network import SlateQNetwork

        return SlateQNetwork(self, env)

    def algorithm(self) -> type[SlateQ]:
        """Return RLlib's algorithm."""
        from recsys_cli.algos.slateq.algorithm import SlateQ

        return SlateQ
