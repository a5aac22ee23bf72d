"""SlateQ as an RLlib module."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.utils.annotations import override
from torch import Tensor

from recsys_cli.algos.q_learning.module import QModule
from recsys_cli.algos.slateq.network import SlateQNetwork
from recsys_cli.networks.features import Observed, pick_documents


class SlateQModule(QModule):
    """Holds a `SlateQNetwork`."""

    net: SlateQNetwork

    def target_item_values(self, observed: Observed) -> tuple[Tensor, Tensor]:
        """Return the target network's `q` [B, C] and `q_null` [B] (see `SlateQNetwork.item_values`)."""
        q, q_null = self.target_values(observed.state, observed.doc)
        return q, q_null if self.net.learned_null else torch.zeros_like(q_null)

    @override(TorchRLModule)
    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return the predictions for the loss: the value of the clicked item, or of the null.

        Only the clicked document, or the null, goes through the network: B rows instead of B * C.
        """
        clicked, shown = batch["clicked"], self.net.shown_in(batch)
        last = shown.doc.shape[1] - 1
        nothing, position = clicked > last, clicked.clamp_max(last)
        q = self.net.values.one(shown.state, pick_documents(shown.doc, position[:, None])[:, 0], nothing)
        return {"q": q} if self.net.learned_null else {"q": q, "learned": ~nothing}
