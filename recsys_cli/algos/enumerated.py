"""What algorithms over enumerated slates ask of problem and network."""

from __future__ import annotations

from recsys_cli.algos.network_config import NetworkConfig
from recsys_cli.config.errors import ConfigError
from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.slates.enumeration import count_slates


def slates_of(spec: ProblemSpec) -> int:
    """Return how many slates of a problem differ to the user."""
    return count_slates(spec.width, spec.attended, spec.order_matters)


def check_slates(name: str, max_slates: int, spec: ProblemSpec) -> None:
    """Refuse problems with more slates than `max_slates`.

    Raises:
        ConfigError: says how many there are, and what to take instead; or that there may be too few candidates.
    """
    check_fewest(f"algo={name}", spec)
    count = slates_of(spec)
    if count > max_slates:
        raise ConfigError(
            f"env.num_candidates={spec.width} with env.slate_size={spec.slate_size} makes {count:,} slates, "
            f"and algo={name} values each one; algo.max_slates={max_slates} allows fewer. "
            "Take algo=slateq, or raise algo.max_slates"
        )


def check_fewest(what: str, spec: ProblemSpec) -> None:
    """Refuse problems that may offer too few candidates for any of the slates enumerated.

    Raises:
        ConfigError: says how many it takes.
    """
    if spec.min_candidates is not None and spec.min_candidates < spec.attended:
        raise ConfigError(
            f"env.num_candidates=[{spec.min_candidates},{spec.width}] may offer fewer candidates than the "
            f"{spec.attended} of a slate, and {what} enumerates whole slates; allowed: at least {spec.attended}"
        )


def check_slate_network(name: str, network: NetworkConfig) -> None:
    """Refuse networks that take no whole slate.

    Raises:
        ConfigError: says what is allowed.
    """
    if network.kind != "concat" or network.doc_hidden:
        raise ConfigError(
            f"algo.network.kind={network.kind} does not go with algo.name={name}, whose network takes a "
            "whole slate; allowed: concat, with algo.network.doc_hidden=0"
        )
