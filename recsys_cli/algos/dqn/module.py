"""The slate module of RLlib's DQN."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.algorithms.dqn.dqn_learner import QF_NEXT_PREDS, QF_PREDS, QF_TARGET_NEXT_PREDS
from ray.rllib.core.rl_module.apis import QNetAPI, TargetNetworkAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.utils.annotations import override
from torch import Tensor

from recsys_cli.algos.full_slate_q.module import FullSlateQModule
from recsys_cli.slates.optimal import NEVER, only


class SlateDQNModule(FullSlateQModule, QNetAPI, TargetNetworkAPI):
    """Holds a `FullSlateQNetwork` and, in learners, a slow copy of its values.

    Of the M slates, only the shown one goes through the network if the loss needs no other: it gets a single action,
    `QF_PREDS` [B, 1].
    """

    @override(TorchRLModule)
    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return the value of the shown slate, and the values `[B, M]` of the next slates."""
        shown: Tensor = super()._forward_train(batch)["q"]
        following = following_of(batch)
        outputs = {QF_PREDS: shown[:, None], QF_TARGET_NEXT_PREDS: self.forward_target(following)[QF_PREDS]}
        if self.model_config["settings"].double_q:
            with torch.no_grad():
                outputs[QF_NEXT_PREDS] = self.compute_q_values(following)[QF_PREDS]
        return outputs

    @override(QNetAPI)
    def compute_q_values(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Return the values of all slates."""
        return {QF_PREDS: self._values(self.net.values, batch)}

    @override(TargetNetworkAPI)
    def forward_target(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Return the copy's values of all slates, without gradient."""
        with torch.no_grad():
            return {QF_PREDS: self._values(self.target_values, batch)}

    def _values(self, values: Any, batch: dict[str, Any]) -> Tensor:
        observed = self.net.observed_in(batch)
        every = self.net.all_slates(observed.doc.shape[1], observed.doc.device)
        # Finite: RLlib's losses multiply the values of slates that are not the best by 0.
        return only(values(observed.state, observed.doc, every), self.net.complete(observed), NEVER)

    @override(TargetNetworkAPI)
    def make_target_networks(self) -> None:
        """Copy the values."""
        self.make_target()

    @override(TargetNetworkAPI)
    def get_target_network_pairs(self) -> list[tuple[Any, Any]]:
        """Return the values and their copy."""
        return [(self.net.values, self.target_values)]


def following_of(batch: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of the next state under the names of the state's columns."""
    start = "next_"
    return {name.removeprefix(start): column for name, column in batch.items() if name.startswith(start)}
