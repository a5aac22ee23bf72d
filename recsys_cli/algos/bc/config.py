"""Behaviour cloning's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from recsys_cli.algos.logged_config import LoggedConfig
from recsys_cli.envs.spec import ProblemSpec

if TYPE_CHECKING:
    from recsys_cli.algos.bc.algorithm import BC
    from recsys_cli.algos.policy_gradient.network import SlateActor
    from recsys_cli.policies.network import PlackettLucePolicy


@dataclass
class BCConfig(LoggedConfig):
    """Behaviour cloning. Keys and defaults: see `conf/algo/bc.yaml`."""

    serving: Literal["drawn", "mode"]

    def make_network(self, spec: ProblemSpec) -> SlateActor:
        """Build the actor."""
        from recsys_cli.algos.policy_gradient.network import SlateActor

        return SlateActor(self, spec, self.network.scale)

    def policy_of(self, network: SlateActor) -> PlackettLucePolicy:
        """Return the policy that acts with `network`."""
        from recsys_cli.policies.network import PlackettLucePolicy

        return PlackettLucePolicy(network, served_by_draws=self.serving == "drawn")

    def offline_algorithm(self) -> type[BC]:
        """Return RLlib's algorithm, fed from a log."""
        from recsys_cli.algos.bc.algorithm import BC

        return BC
