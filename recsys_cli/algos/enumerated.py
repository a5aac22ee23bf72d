"""What algorithms over enumerated slates ask of problem and network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_cli.algos.replay_config import ReplayConfig
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.ranges import Count
from recsys_cli.envs.base import EnvConfig

if TYPE_CHECKING:
    from recsys_cli.algos.full_slate_q.network import FullSlateQNetwork


def slates_of(env: EnvConfig) -> int:
    """Return how many slates of a problem differ to the user."""
    from recsys_cli.slates.enumeration import count_slates  # its package imports torch

    return count_slates(env.num_candidates, env.attended, env.order_matters)


def check_slates(name: str, max_slates: int, env: EnvConfig) -> None:
    """Refuse problems with more slates than `max_slates`.

    Raises:
        ConfigError: says how many there are, and what to take instead.
    """
    count = slates_of(env)
    if count > max_slates:
        raise ConfigError(
            f"env.num_candidates={env.num_candidates} with env.slate_size={env.slate_size} makes {count:,} slates, "
            f"and algo={name} values each one; algo.max_slates={max_slates} allows fewer. "
            "Take algo=slateq, or raise algo.max_slates"
        )


@dataclass
class EnumeratedConfig(ReplayConfig):
    """Learning from replay what whole slates are worth, each enumerated."""

    max_slates: Count

    def __post_init__(self) -> None:
        """Check that the network takes whole slates."""
        super().__post_init__()
        if self.network.kind != "concat" or self.network.doc_hidden:
            raise ConfigError(
                f"algo.network.kind={self.network.kind} does not go with algo.name={self.name}, whose network takes a "
                "whole slate; allowed: concat, with algo.network.doc_hidden=0"
            )

    def check(self, env: EnvConfig) -> None:
        """Refuse problems with more slates than `max_slates`."""
        super().check(env)
        check_slates(self.name, self.max_slates, env)

    def make_network(self, env: EnvConfig) -> FullSlateQNetwork:
        """Build the network."""
        from recsys_cli.algos.full_slate_q.network import FullSlateQNetwork

        return FullSlateQNetwork(self, env)
