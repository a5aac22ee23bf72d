"""NumPy twins of policies: the same slates at a fraction of torch's cost for few candidates of few users."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from recsys_cli.policies import SlatePolicy
from recsys_cli.policies.greedy_pctr import GreedyPCTRPolicy
from recsys_cli.policies.item_bandit import ItemBanditPolicy
from recsys_cli.policies.lspi import LSPIPolicy
from recsys_cli.policies.myopic import MyopicPolicy
from recsys_cli.policies.network import PlackettLucePolicy, ScoringPolicy
from recsys_cli.policies.q_values import QPolicy
from recsys_cli.policies.routed import RoutedPolicy
from recsys_cli.serving.twins.making import of_bandit, of_lspi, of_myopic, of_scores, of_values

MAKERS: dict[type[SlatePolicy], Callable[[Any], SlatePolicy | None]] = {
    ScoringPolicy: of_values,
    QPolicy: of_values,
    PlackettLucePolicy: of_scores,
    LSPIPolicy: of_lspi,
    ItemBanditPolicy: of_bandit,
    MyopicPolicy: of_myopic,
    GreedyPCTRPolicy: of_myopic,
}
"""By exact class: a subclass of somebody's own may act otherwise."""


def twin_of(policy: SlatePolicy) -> SlatePolicy:
    """Return a policy that acts by NumPy as this one does now, or this one if it has no twin."""
    if type(policy) is RoutedPolicy:
        return RoutedPolicy({name: twin_of(own) for name, own in policy.policies.items()})
    make = MAKERS.get(type(policy))
    return (make(policy) if make is not None else None) or policy
