"""Advantages of logged slates by item-wise values, and what is learned with them."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.learner import POLICY_LOSS_KEY, VF_LOSS_KEY
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.utils.annotations import override
from torch import Tensor

from recsys_cli.algos.bc.algorithm import slate_log_prob
from recsys_cli.algos.policy_gradient.network import SlateCritic
from recsys_cli.algos.slateq.algorithm import SlateQLearner, SlateQModule


class AdvantageModule(SlateQModule):
    """Adds `baseline`, the value of a state under the behaviour, or of its better slates."""

    @override(TorchRLModule)
    def setup(self) -> None:
        """Build the networks."""
        super().setup()
        settings, spec = self.model_config["settings"], self.model_config["spec"]
        self.baseline = SlateCritic(settings, spec, self.net.state_features)

    @override(InferenceOnlyAPI)
    def get_non_inference_attributes(self) -> list[str]:
        """Acting needs no baseline."""
        return [*super().get_non_inference_attributes(), "baseline"]


class AdvantageLearner(SlateQLearner):
    """Learns item-wise values, a baseline from the values of logged slates, and an actor if there is one.

    Targets of `algo.target=baseline` bootstrap from the baseline, so that no slate is valued that the log does not have
    (Kostrikov et al. 2022, arXiv 2110.06169).
    """

    @override(SlateQLearner)
    def compute_loss_for_module(
        self, *, module_id: str, config: AlgorithmConfig, batch: dict[str, Any], fwd_out: dict[str, Any]
    ) -> Tensor:
        """Add the baseline's loss, and the actor's."""
        loss = super().compute_loss_for_module(module_id=module_id, config=config, batch=batch, fwd_out=fwd_out)
        module, settings = self.module[module_id].unwrapped(), config.settings
        observed, slates = module.net.observed_in(batch), batch["slate"]
        with torch.no_grad():
            values = module.target_slate_values(observed, slates)
        advantage = (values - module.baseline(observed)) / settings.network.scale
        fwd_out[VF_LOSS_KEY] = expectile_loss(advantage, settings.expectile)
        loss = loss + fwd_out[VF_LOSS_KEY]
        if settings.cloning:
            weight = exponential_weights(advantage.detach(), settings.beta, settings.weight_cap)
            fwd_out[POLICY_LOSS_KEY] = -(weight * slate_log_prob(module.net, observed, slates)).mean()
            loss = loss + fwd_out[POLICY_LOSS_KEY]
        return loss

    @override(SlateQLearner)
    def next_values(self, module_id: str, batch: dict[str, Any]) -> Tensor:
        """Return the value `[B]` of the next state."""
        if self.config.settings.target != "baseline":
            return super().next_values(module_id, batch)
        module = self.module[module_id].unwrapped()
        values: Tensor = module.baseline(module.net.observed_in(batch, "next_"))
        return values

    @override(SlateQLearner)
    def _update(self, batch: dict[str, Any], **kwargs: Any) -> tuple[Any, Any, Any]:
        """Report the last minibatch's losses."""
        outputs, losses, more = super()._update(batch, **kwargs)
        for name in (VF_LOSS_KEY, POLICY_LOSS_KEY):
            if name in outputs[DEFAULT_MODULE_ID]:
                self.metrics.log_value((DEFAULT_MODULE_ID, name), float(outputs[DEFAULT_MODULE_ID][name]), window=20)
        return outputs, losses, more


def expectile_loss(error: Tensor, expectile: float) -> Tensor:
    """Return the mean squared error, where positive errors weigh `expectile` and negative ones what is left to 1.

    The constant of least loss is the expectile of what it is compared with; half of the squared error at 0.5.
    """
    return ((expectile - (error < 0).float()).abs() * error.square()).mean()


def exponential_weights(advantage: Tensor, beta: float, cap: float) -> Tensor:
    """Return `exp(beta * advantage / rms)`, at most `cap` (Wang et al. 2018; Peng et al. 2019, arXiv 1910.00177).

    Args:
        advantage: `[B]`; its root mean square over the minibatch is the unit, so that beta means the same in all
            problems.
        beta: 0 clones the behaviour.
        cap: largest weight.
    """
    unit = advantage.square().mean().sqrt().clamp_min(1e-6)
    return (beta * advantage / unit).exp().clamp_max(cap)
