"""SlateQ as an RLlib module: the online network, and the target network that learners keep beside it."""

from __future__ import annotations

import copy
from typing import Any

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI, TargetNetworkAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.utils.annotations import override
from torch import Tensor

from recsys_cli.algos.slateq.policy import SlateQNetwork, SlateQPolicy
from recsys_cli.networks.features import pick_documents


class SlateQModule(TorchRLModule, InferenceOnlyAPI, TargetNetworkAPI):
    """Holds a `SlateQNetwork`; `model_config` carries its `settings` (SlateQConfig) and `problem` (EnvConfig)."""

    @override(TorchRLModule)
    def setup(self) -> None:
        """Build the online network."""
        self.net = SlateQNetwork(self.model_config["settings"], self.model_config["problem"])

    def policy(self) -> SlateQPolicy:
        """Return the greedy policy that acts with this module's network."""
        return SlateQPolicy(self.net)

    @override(TargetNetworkAPI)
    def make_target_networks(self) -> None:
        """Copy the online values; the choice model needs no target, it is no bootstrapped value."""
        self.target_values = copy.deepcopy(self.net.values).requires_grad_(False)

    @override(TargetNetworkAPI)
    def get_target_network_pairs(self) -> list[tuple[Any, Any]]:
        """Return (online, target)."""
        return [(self.net.values, self.target_values)]

    def target_item_values(self, user: Tensor, doc: Tensor) -> tuple[Tensor, Tensor]:
        """Return the target network's `q` [B, C] and `q_null` [B] (see `SlateQNetwork.item_values`)."""
        q, q_null = self.target_values(user, doc)
        return q, q_null if self.net.learned_null else torch.zeros_like(q_null)

    @override(TargetNetworkAPI)
    def forward_target(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the target network's item values of the next state, `q` [B, C] and `q_null` [B]."""
        q, q_null = self.target_item_values(batch["next_user"], batch["next_doc"])
        return {"q": q, "q_null": q_null}

    @override(InferenceOnlyAPI)
    def get_non_inference_attributes(self) -> list[str]:
        """Runners need no target network."""
        return ["target_values"]

    @override(TorchRLModule)
    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Act greedily on `user` and `doc`."""
        return {Columns.ACTIONS: self.net.slates(batch["user"], batch["doc"])}

    @override(TorchRLModule)
    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return what the loss compares with its target: the value of the clicked item, or of the null.

        Only the clicked document goes through the network, B rows instead of B * C.
        """
        clicked, shown = batch["clicked"], batch["slate_doc"]
        position = clicked.clamp_max(shown.shape[1] - 1)
        q, q_null = self.net.item_values(batch["user"], pick_documents(shown, position[:, None]))
        no_click = clicked == shown.shape[1]
        return {"q": q_null.where(no_click, q[:, 0]), "no_click": no_click}
