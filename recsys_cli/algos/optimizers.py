"""Learners with one Adam."""

from __future__ import annotations

from typing import Any

from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.utils.annotations import override

from recsys_cli.networks.optimizers import fused_adam


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
