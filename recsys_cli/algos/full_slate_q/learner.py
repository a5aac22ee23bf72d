"""Full-slate Q-learning's target."""

from __future__ import annotations

from typing import Any

from ray.rllib.utils.annotations import override
from torch import Tensor

from recsys_cli.algos.q_learning.learner import QLearner


class FullSlateQLearner(QLearner):
    """Learns values of whole slates."""

    @override(QLearner)
    def next_values(self, module_id: str, batch: dict[str, Any]) -> Tensor:
        """Return the greatest value `[B]` of all slates of the next state.

        By the target network; in double Q-learning the online network chooses the slate.
        """
        module = self.module[module_id].unwrapped()
        user, doc = batch["next_user"], batch["next_doc"]
        every = module.net.all_slates(doc.shape[1], doc.device)
        values = module.target_values(user, doc, every)
        if not self.config.settings.double_q:
            return values.amax(-1)
        return values.gather(-1, module.net.values(user, doc, every).argmax(-1, keepdim=True))[:, 0]
