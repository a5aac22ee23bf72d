"""REINFORCE's loss."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.learner import ENTROPY_KEY, POLICY_LOSS_KEY, VF_LOSS_KEY
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.utils.annotations import override
from torch import Tensor

from recsys_cli.algos.ppo.algorithm import RoundsAlgorithmConfig, SlatePPO, SlatePPOLearner


class ReinforceTopKLearner(SlatePPOLearner):
    """Goes through RLlib's PPO loop with another loss."""

    @override(TorchLearner)
    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: dict[str, Any], fwd_out: dict[str, Any]
    ) -> Tensor:
        """Return the loss of the clicked items (Chen et al. 2019, section 4.3), less entropy, plus the critic's.

        A slate without a click teaches the critic alone, as in the paper, where trajectories hold consumed items. The
        paper weighs an item by its return; here by its advantage over the critic's value, whose variance is lower. The
        behaviour policy is known, not estimated: the one at the start of the round.
        """
        settings, clicked, slates = config.settings, batch["clicked"].long(), batch[Columns.ACTIONS]
        log_policy = fwd_out[Columns.ACTION_DIST_INPUTS].log_softmax(-1)
        item = slates.gather(-1, clicked.clamp_max(slates.shape[1] - 1)[:, None]).clamp_min(0)  # -1 has no click
        log_pi = log_policy.gather(-1, item)[:, 0]
        log_beta = batch[Columns.ACTION_DIST_INPUTS].log_softmax(-1).gather(-1, item)[:, 0]
        weight = off_policy_weight(log_pi.detach(), log_beta, settings.weight_cap)
        if settings.top_k_correction:
            weight = weight * top_k_factor(log_pi.detach(), slates.shape[1])
        weight = weight * (clicked < slates.shape[1])
        policy_loss = -(weight * batch[Postprocessing.ADVANTAGES] * log_pi).mean()
        values = self.module[module_id].unwrapped().compute_values(batch)
        value_loss = (values - batch[Postprocessing.VALUE_TARGETS]).square().mean()
        entropy = -(log_policy.exp() * log_policy).sum(-1).mean()
        log = {POLICY_LOSS_KEY: policy_loss, VF_LOSS_KEY: value_loss, ENTROPY_KEY: entropy}
        self.metrics.log_dict(log, key=module_id, window=1)
        coefficient = self.entropy_coeff_schedulers_per_module[module_id].get_current_value()
        return policy_loss + config.vf_loss_coeff * value_loss - coefficient * entropy


def off_policy_weight(log_pi: Tensor, log_beta: Tensor, cap: float) -> Tensor:
    """Return the importance weights `pi / beta`, at most `cap` (section 4.4)."""
    return (log_pi - log_beta).exp().clamp_max(cap)


def top_k_factor(log_pi: Tensor, k: int) -> Tensor:
    """Return `K (1 - pi)^(K - 1)`, the derivative of an item's chance to be among K draws (eq. 8)."""
    return k * (-torch.expm1(log_pi)).pow(k - 1)


class ReinforceTopK(SlatePPO):
    """RLlib's PPO loop with this learner."""

    config_class = RoundsAlgorithmConfig
    learner_class = ReinforceTopKLearner
