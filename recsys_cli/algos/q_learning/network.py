"""What the networks of Q-learning algorithms share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from torch import Tensor, nn

from recsys_cli.policies.network import SessionNetwork

if TYPE_CHECKING:
    from recsys_cli.algos.replay_config import ReplayConfig
    from recsys_cli.envs.base import EnvConfig


class QNetwork(SessionNetwork, ABC):
    """Holds `values`, the network that is bootstrapped and that a target network copies.

    Attributes:
        attended: leading positions of a slate that the user looks at.
    """

    values: nn.Module

    def __init__(self, settings: ReplayConfig, env: EnvConfig) -> None:
        """Take what every network needs of the settings and the problem."""
        super().__init__(env, settings.history)
        self.attended = env.attended

    @abstractmethod
    def slates(self, user: Tensor, doc: Tensor) -> Tensor:
        """Return the best whole slates `[B, k]`."""
