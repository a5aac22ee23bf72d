"""What the RLlib modules of Q-learning algorithms share: the online network, and the target that learners keep."""

from __future__ import annotations

import copy
from typing import Any

from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI, TargetNetworkAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.utils.annotations import override

from recsys_cli.policies.network import NetworkPolicy


class QModule(TorchRLModule, InferenceOnlyAPI, TargetNetworkAPI):
    """`setup` builds `net`, whose `values` are what is bootstrapped and whose `slates` act.

    `model_config` carries the `settings` (QLearningConfig) and the `problem` (EnvConfig).
    """

    def policy(self) -> NetworkPolicy:
        """Return the greedy policy that acts with this module's network."""
        return NetworkPolicy(self.net)

    @override(TargetNetworkAPI)
    def make_target_networks(self) -> None:
        """Copy the online values; nothing else is bootstrapped."""
        self.target_values = copy.deepcopy(self.net.values).requires_grad_(False)

    @override(TargetNetworkAPI)
    def get_target_network_pairs(self) -> list[tuple[Any, Any]]:
        """Return (online, target)."""
        return [(self.net.values, self.target_values)]

    @override(TargetNetworkAPI)
    def forward_target(self, batch: dict[str, Any]) -> dict[str, Any]:
        """RLlib's own learners would call it; ours ask `target_values` for what they need."""
        raise NotImplementedError

    @override(InferenceOnlyAPI)
    def get_non_inference_attributes(self) -> list[str]:
        """Runners need no target network."""
        return ["target_values"]

    @override(TorchRLModule)
    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Act greedily on `user` and `doc`."""
        return {Columns.ACTIONS: self.net.slates(batch["user"], batch["doc"])}
