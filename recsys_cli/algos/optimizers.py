"""Torch optimisers, and learners that have them."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.utils.annotations import override
from torch import Tensor


def fused_adam(params: list[Tensor], lr: float) -> torch.optim.Adam:
    """Return Adam; its fused kernels take one call for all parameters."""
    return torch.optim.Adam(params, lr=lr, fused=True)


class AdamLearner(TorchLearner):
    """Mixes with RLlib's learners: one Adam, by the learning-rate schedule of the run."""

    @override(TorchLearner)
    def configure_optimizers_for_module(self, module_id: str, config: Any) -> None:
        """Make the optimiser."""
        params = [p for p in self.get_parameters(self._module[module_id]) if p.requires_grad]
        self.register_optimizer(
            module_id=module_id,
            optimizer=fused_adam(params, config.settings.lr),
            params=params,
            lr_or_lr_schedule=config.lr_schedule_of_run(),
        )
