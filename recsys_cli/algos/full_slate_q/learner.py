"""Full-slate Q-learning's target."""

from __future__ import annotations

from typing import Any

from ray.rllib.utils.annotations import override
from torch import Tensor

from recsys_cli.algos.q_learning.learner import QLearner
from recsys_cli.slates.optimal import only


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
