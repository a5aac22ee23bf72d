"""What the networks of Q-learning algorithms share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from torch import Tensor, nn

from recsys_cli.policies.history import History, history_features, new_history

if TYPE_CHECKING:
    from recsys_cli.algos.q_learning.config import QLearningConfig
    from recsys_cli.envs.base import EnvConfig


class QNetwork(nn.Module, ABC):
    """Holds `values`, the network that is bootstrapped and that a target network copies.

    Attributes:
        user_features: length of the user observation with what is remembered of the session.
        slate_size: documents of a slate.
        attended: leading positions of it that the user looks at.
    """

    values: nn.Module

    def __init__(self, settings: QLearningConfig, env: EnvConfig) -> None:
        """Take what every network needs of the settings and the problem."""
        super().__init__()
        self.problem, self.history = env, settings.history
        self.user_features = env.user_features + history_features(settings.history, env)
        self.slate_size, self.attended = env.slate_size, env.attended

    @abstractmethod
    def slates(self, user: Tensor, doc: Tensor) -> Tensor:
        """Return the best whole slates `[B, k]`."""

    def new_history(self, users: int) -> History:
        """Return the history that `algo.history` names."""
        return new_history(self.history, self.problem, users)
