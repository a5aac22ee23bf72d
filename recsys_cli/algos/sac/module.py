"""The slate module of RLlib's SAC."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium
import torch
from ray.rllib.algorithms.sac.sac_learner import (
    ACTION_LOG_PROBS,
    ACTION_LOG_PROBS_NEXT,
    ACTION_PROBS,
    ACTION_PROBS_NEXT,
    QF_PREDS,
    QF_TARGET_NEXT,
    QF_TWIN_PREDS,
)
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI, QNetAPI, TargetNetworkAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.utils.annotations import override
from torch import Tensor

from recsys_cli.algos.dqn.module import following_of
from recsys_cli.algos.enumerated import slates_of
from recsys_cli.algos.full_slate_q.network import FullSlateQNetwork, SlateValues
from recsys_cli.policies.enumerated import SlateSoftmaxPolicy
from recsys_cli.slates.optimal import NEVER, only


class SlateSACModule(TorchRLModule, InferenceOnlyAPI, QNetAPI, TargetNetworkAPI):
    """Acts with `net`, log-weights of all M slates; learners also keep two critics and a slow copy of each.

    `model_config` carries the `settings` (SACConfig) and the `spec` (ProblemSpec). The critics count in
    `algo.reward_unit`.
    """

    net: FullSlateQNetwork
    critic: SlateValues
    twin: SlateValues
    target_critic: SlateValues
    target_twin: SlateValues
    action_space: gymnasium.Space[Any]

    @override(TorchRLModule)
    def setup(self) -> None:
        """Build the networks, which share nothing."""
        settings, spec = self.model_config["settings"], self.model_config["spec"]
        self.net = settings.make_network(spec)
        sizes = (self.net.state_features, len(spec.documents), self.net.attended)
        self.critic = SlateValues(*sizes, settings.network.hidden, settings.network.scale)
        self.twin = SlateValues(*sizes, settings.network.hidden, settings.network.scale)
        self.action_space = gymnasium.spaces.Discrete(slates_of(spec))  # selects RLlib's discrete loss

    def policy(self) -> SlateSoftmaxPolicy:
        """Return the policy that acts with this module's network."""
        policy: SlateSoftmaxPolicy = self.model_config["settings"].policy_of(self.net)
        return policy

    @override(InferenceOnlyAPI)
    def get_non_inference_attributes(self) -> list[str]:
        """Runners need no critics."""
        return ["critic", "twin", "target_critic", "target_twin"]

    @override(TorchRLModule)
    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return the log-weights."""
        return {Columns.ACTION_DIST_INPUTS: self.net.every_value(self.net.observed_in(batch))}

    @override(TorchRLModule)
    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return the inputs of RLlib's discrete loss, `[B, M]` each."""
        following = following_of(batch)
        log_p = self._log_probabilities(batch)
        with torch.no_grad():
            log_p_next, target = self._log_probabilities(following), self.forward_target(following)
        return {
            ACTION_PROBS: log_p.exp(),
            ACTION_LOG_PROBS: log_p,
            ACTION_PROBS_NEXT: log_p_next.exp(),
            ACTION_LOG_PROBS_NEXT: log_p_next,
            QF_TARGET_NEXT: target,
            QF_PREDS: self._values_of_shown(self.critic, batch),
            QF_TWIN_PREDS: self._values_of_shown(self.twin, batch),
        }

    def _log_probabilities(self, batch: dict[str, Any]) -> Tensor:
        return self._every(batch, self.net.values)[0].log_softmax(-1)

    def _values_of_shown(self, critic: SlateValues, batch: dict[str, Any]) -> Tensor:
        """Return all values `[B, M]`, with a gradient only for shown slates: the critic's loss reads no others."""
        shown = self.net.shown_in(batch)
        itself = torch.arange(self.net.attended, device=shown.doc.device)[None]
        with torch.no_grad():
            (values,) = self._every(batch, critic)
        own = critic(shown.state, shown.doc[:, : self.net.attended], itself)
        return values.scatter(-1, batch[Columns.ACTIONS][:, None], own)

    def _every(self, batch: dict[str, Any], *values: Any) -> list[Tensor]:
        """Return each network's values of all slates, `[B, M]`."""
        observed = self.net.observed_in(batch)
        every, complete = self.net.all_slates(observed.doc.shape[1], observed.doc.device), self.net.complete(observed)
        return [only(each(observed.state, observed.doc, every), complete, NEVER) for each in values]

    @override(QNetAPI)
    def compute_q_values(self, batch: dict[str, Any]) -> Tensor:
        """Return the lesser of both critics' values of all slates, `[B, M]`."""
        values: Tensor = self._lesser(batch, self.critic, self.twin)
        return values

    @override(TargetNetworkAPI)
    def forward_target(self, batch: dict[str, Any]) -> Tensor:
        """Return the lesser of both copies' values of all slates, `[B, M]`."""
        return self._lesser(batch, self.target_critic, self.target_twin)

    def _lesser(self, batch: dict[str, Any], *critics: SlateValues) -> Tensor:
        return torch.minimum(*self._every(batch, *critics))

    @override(TargetNetworkAPI)
    def make_target_networks(self) -> None:
        """Copy the critics."""
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.target_twin = copy.deepcopy(self.twin).requires_grad_(False)

    @override(TargetNetworkAPI)
    def get_target_network_pairs(self) -> list[tuple[Any, Any]]:
        """Return the critics and their copies."""
        return [(self.critic, self.target_critic), (self.twin, self.target_twin)]
