"""Shared by the RLlib modules of Q-learning algorithms: the online network, and the learners' target network."""

from __future__ import annotations

import copy
from typing import Any

from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.utils.annotations import override

from recsys_cli.algos.q_learning.network import QNetwork
from recsys_cli.policies.network import NetworkPolicy


class QModule(TorchRLModule, InferenceOnlyAPI):
    """Acts with `net` and, in learners, keeps `target_values`, a slow copy of the critic's `values`.

    `model_config` carries the `settings` (QLearningConfig) and the `spec` (ProblemSpec).
    """

    net: QNetwork

    @override(TorchRLModule)
    def setup(self) -> None:
        """Build the online network."""
        self.net = self.model_config["settings"].make_network(self.model_config["spec"])

    @property
    def critic(self) -> QNetwork:
        """The network whose values are bootstrapped: the acting one, unless another is kept for learning."""
        return self.net

    def policy(self) -> NetworkPolicy:
        """Return the policy that acts with this module's network."""
        policy: NetworkPolicy = self.model_config["settings"].policy_of(self.net)
        return policy

    def make_target(self) -> None:
        """Copy the online values; nothing else is bootstrapped."""
        self.target_values = copy.deepcopy(self.critic.values).requires_grad_(False)

    @override(InferenceOnlyAPI)
    def get_non_inference_attributes(self) -> list[str]:
        """Runners need no target network."""
        return ["target_values"]

    @override(TorchRLModule)
    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Act greedily."""
        return {Columns.ACTIONS: self.net.slates(self.net.observed_in(batch))}
