"""Full-slate Q-learning as an RLlib algorithm."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.utils.annotations import override
from torch import Tensor

from recsys_cli.algos.full_slate_q.network import FullSlateQNetwork
from recsys_cli.algos.q_learning.algorithm import QLearning
from recsys_cli.algos.q_learning.learner import QLearner
from recsys_cli.algos.q_learning.module import QModule
from recsys_cli.slates.optimal import only


class FullSlateQModule(QModule):
    """Holds a `FullSlateQNetwork`."""

    net: FullSlateQNetwork

    @override(TorchRLModule)
    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return the values of the slates shown, `q` [B]."""
        shown = self.net.shown_in(batch)
        itself = torch.arange(self.net.attended, device=shown.doc.device)[None]
        return {"q": self.net.values(shown.state, shown.doc[:, : self.net.attended], itself)[:, 0]}


class FullSlateQLearner(QLearner):
    """Learns values of whole slates."""

    @override(QLearner)
    def next_values(self, module_id: str, batch: dict[str, Any]) -> Tensor:
        """Return the greatest value `[B]` of all slates of the next state.

        By the target network; in double Q-learning the online network chooses the slate.
        """
        module = self.module[module_id].unwrapped()
        after = module.net.observed_in(batch, "next_")
        every, complete = module.net.all_slates(after.doc.shape[1], after.doc.device), module.net.complete(after)
        values = only(module.target_values(after.state, after.doc, every), complete)
        if not self.config.settings.double_q:
            return values.amax(-1)
        online = only(module.net.values(after.state, after.doc, every), complete)
        return values.gather(-1, online.argmax(-1, keepdim=True))[:, 0]


class FullSlateQ(QLearning):
    """Q-learning of whole slates."""

    module_class = FullSlateQModule
    learner_class = FullSlateQLearner
