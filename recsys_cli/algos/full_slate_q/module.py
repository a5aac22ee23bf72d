"""Full-slate Q-learning as an RLlib module."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.utils.annotations import override

from recsys_cli.algos.full_slate_q.network import FullSlateQNetwork
from recsys_cli.algos.q_learning.module import QModule


class FullSlateQModule(QModule):
    """Holds a `FullSlateQNetwork`."""

    net: FullSlateQNetwork

    @override(TorchRLModule)
    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return the values of the slates shown, `q` [B]."""
        shown = self.net.shown_in(batch)
        itself = torch.arange(self.net.attended, device=shown.doc.device)[None]
        return {"q": self.net.values(shown.state, shown.doc[:, : self.net.attended], itself)[:, 0]}
