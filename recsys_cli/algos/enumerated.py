"""Requirements of algorithms over enumerated slates on problem and network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_cli.algos.replay_config import ReplayConfig
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.ranges import Count
from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.slates.counting import count_slates

if TYPE_CHECKING:
    from recsys_cli.algos.full_slate_q.network import FullSlateQNetwork
    from recsys_cli.policies.enumerated import EnumeratedPolicy


def slates_of(spec: ProblemSpec) -> int:
    """Return the number of slates that differ to the user."""
    return count_slates(spec.width, spec.attended, spec.order_matters)


def check_slates(name: str, max_slates: int, spec: ProblemSpec) -> None:
    """Refuse problems with more slates than `max_slates`.

    Raises:
        ConfigError: with their number and an alternative; or there may be too few candidates.
    """
    if spec.min_candidates is not None and spec.min_candidates < spec.attended:
        raise ConfigError(
            f"env.num_candidates=[{spec.min_candidates},{spec.width}] may offer fewer candidates than the "
            f"{spec.attended} of a slate, and algo={name} enumerates whole slates; allowed: at least {spec.attended}"
        )
    count = slates_of(spec)
    if count > max_slates:
        raise ConfigError(
            f"env.num_candidates={spec.width} with env.slate_size={spec.slate_size} makes {count:,} slates, "
            f"and algo={name} values each one; algo.max_slates={max_slates} allows fewer. "
            "Use algo=slateq, or raise algo.max_slates"
        )


@dataclass
class EnumeratedConfig(ReplayConfig):
    """Learning the values of enumerated slates from replay."""

    max_slates: Count

    def __post_init__(self) -> None:
        """Check that the network takes whole slates."""
        super().__post_init__()
        if self.network.kind != "concat" or self.network.doc_hidden:
            raise ConfigError(
                f"algo.network.kind={self.network.kind} does not go with algo.name={self.name}, whose network takes a "
                "whole slate; allowed: concat, with algo.network.doc_hidden=0"
            )

    def check(self, spec: ProblemSpec) -> None:
        """Refuse problems with more slates than `max_slates`."""
        super().check(spec)
        check_slates(self.name, self.max_slates, spec)

    def make_network(self, spec: ProblemSpec) -> FullSlateQNetwork:
        """Build the network."""
        from recsys_cli.algos.full_slate_q.network import FullSlateQNetwork

        return FullSlateQNetwork(self, spec)

    def policy_of(self, network: FullSlateQNetwork) -> EnumeratedPolicy:
        """Return the policy that acts with `network`."""
        from recsys_cli.policies.enumerated import EnumeratedPolicy

        return EnumeratedPolicy(network)
