"""Shared by the networks of Q-learning algorithms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from torch import Tensor, nn

from recsys_cli.networks.features import Observed
from recsys_cli.networks.last_layer import LastLayerPosterior
from recsys_cli.policies.network import SessionNetwork
from recsys_cli.policies.session_limit import SessionLimit

if TYPE_CHECKING:
    from recsys_cli.algos.gradient_config import GradientConfig
    from recsys_cli.envs.spec import ProblemSpec


class QNetwork(SessionNetwork, ABC):
    """Holds `values`, the network that is bootstrapped and copied by a target network.

    Attributes:
        attended: leading positions of a slate that the user looks at.
        limit: of sessions; None without memory.
        posterior: of `values`, if it is learned.
    """

    values: nn.Module
    posterior: LastLayerPosterior | None

    def __init__(self, settings: GradientConfig, spec: ProblemSpec) -> None:
        """Take what every network needs from settings and problem."""
        super().__init__(spec, settings.memory)
        self.attended, self.posterior = spec.attended, None
        self.limit = None if self.memory == "none" else SessionLimit()

    def remembered(self, memory: Tensor | None) -> Tensor | None:
        """See `SessionNetwork.remembered`: what is left of the session instead of its totals, once that is known."""
        own = super().remembered(memory)
        return own if self.limit is None or own is None else self.limit(own)

    @abstractmethod
    def slates(self, observed: Observed) -> Tensor:
        """Return the best whole slates `[B, k]`."""
