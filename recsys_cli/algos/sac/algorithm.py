"""RLlib's SAC with our runners, replay and module."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import gymnasium
import torch
from ray.rllib.algorithms.sac import SAC, SACConfig
from ray.rllib.algorithms.sac.sac_learner import (
    ACTION_LOG_PROBS,
    ACTION_LOG_PROBS_NEXT,
    ACTION_PROBS,
    ACTION_PROBS_NEXT,
    QF_PREDS,
    QF_TARGET_NEXT,
    QF_TWIN_PREDS,
)
from ray.rllib.algorithms.sac.torch.sac_torch_learner import SACTorchLearner
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.learner import Learner
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI, QNetAPI, TargetNetworkAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.utils.annotations import override
from torch import Tensor

from recsys_cli.algos.dqn.algorithm import SampleConnector, SampledAlgorithm, SampledConfig, SampleLearner, following_of
from recsys_cli.algos.enumerated import slates_of
from recsys_cli.algos.full_slate_q.network import FullSlateQNetwork, SlateValues
from recsys_cli.networks.optimizers import fused_adam
from recsys_cli.policies.enumerated import SlateSoftmaxPolicy
from recsys_cli.rollouts.replay import CandidateRing
from recsys_cli.slates.optimal import NEVER, only

if TYPE_CHECKING:
    from recsys_cli.config.schema import TrainConfig


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


LOG_TEMPERATURE = "log_temperature"


class ActionConnector(SampleConnector):
    """Adds the index of the shown slate among all slates, and counts rewards in `algo.reward_unit`.

    RLlib's critics have Huber's loss with its bend at 1: in larger units the rare end of a session is not clipped.
    """

    @override(SampleConnector)
    def read_by_losses(self, module: Any, columns: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return RLlib's columns; `actions` [B] are indices into the list of all slates."""
        network, doc = module.net, columns["doc"]
        shown = columns["slate"][:, : network.attended]
        shown = shown if network.ordered else shown.sort(-1).values
        same = (shown[:, None] == network.all_slates(doc.shape[1], doc.device)).all(-1)
        unit = module.model_config["settings"].reward_unit
        return {
            **super().read_by_losses(module, columns),
            Columns.ACTIONS: same.int().argmax(-1),
            Columns.REWARDS: columns["reward"] / unit,
        }


class SlateSACLearner(SampleLearner, SACTorchLearner):
    """The loss is RLlib's."""

    connector = ActionConnector

    @override(TorchLearner)
    def configure_optimizers_for_module(self, module_id: str, config: Any) -> None:
        """Make an optimiser for each network, named as RLlib's losses, and for the temperature."""
        module, log_temperature = self._module[module_id], self.curr_log_alpha[module_id]
        networks = {"qf": module.critic, "qf_twin": module.twin, "policy": module.net}
        rates = dict.fromkeys(networks, (config.settings.lr, config.lr_schedule_of_run()))
        parameters = {name: list(network.parameters()) for name, network in networks.items()}
        parameters["alpha"], rates["alpha"] = [log_temperature], (config.alpha_lr, config.alpha_lr)
        for name, params in parameters.items():
            rate, schedule = rates[name]
            self.register_optimizer(
                module_id=module_id,
                optimizer_name=name,
                optimizer=fused_adam(params, rate),
                params=params,
                lr_or_lr_schedule=schedule,
            )

    @override(Learner)
    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Add the temperature, which RLlib's checkpoints lack."""
        log_temperature = self.curr_log_alpha[DEFAULT_MODULE_ID].item()
        return {**super().get_state(*args, **kwargs), LOG_TEMPERATURE: log_temperature}

    @override(Learner)
    def set_state(self, state: dict[str, Any]) -> None:
        """Restore the state."""
        super().set_state(state)
        if LOG_TEMPERATURE in state:
            self.curr_log_alpha[DEFAULT_MODULE_ID].data.fill_(state[LOG_TEMPERATURE])


class SlateSACConfig(SampledConfig, SACConfig):
    """RLlib's config of SAC, with our settings and the problem; slates are drawn by the policy alone."""

    ring = CandidateRing

    @override(SampledConfig)
    def of_run(self, settings: Any, run: TrainConfig, seed: int) -> None:
        """Also set the temperature."""
        super().of_run(settings, run, seed)
        self.training(
            lr=None,  # RLlib wants it so; the learner takes the schedule from these settings
            alpha_lr=settings.temperature_lr,
            initial_alpha=settings.temperature,
            target_entropy=settings.target_entropy * math.log(slates_of(run.env.spec)),
        )


class SlateSAC(SampledAlgorithm, SAC):
    """RLlib's SAC."""

    config_class = SlateSACConfig
    module_class = SlateSACModule
    learner_class = SlateSACLearner
