"""Bandits' learner: no loss, no gradient; the policy learns by itself."""

from __future__ import annotations

from typing import Any

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.utils.annotations import override
from torch import Tensor

LEARNING = "learning"


class BanditLearner(TorchLearner):
    """Hands every batch to the module's policy, once."""

    @override(TorchLearner)
    def configure_optimizers_for_module(self, module_id: str, config: AlgorithmConfig) -> None:
        """There is nothing to optimise."""

    @override(TorchLearner)
    def _update(self, batch: dict[str, Any], **kwargs: Any) -> tuple[Any, Any, Any]:
        """Update the posterior; the reported loss is the error of the prior predictions."""
        columns = {name: value.numpy() for name, value in batch[DEFAULT_MODULE_ID].items() if isinstance(value, Tensor)}
        error = self.module[DEFAULT_MODULE_ID].unwrapped().bandit.learn(columns)
        return {}, {DEFAULT_MODULE_ID: error}, {}

    @override(TorchLearner)
    def get_state(self, components: Any = None, *, not_components: Any = None, **kwargs: Any) -> dict[str, Any]:
        """Add what the policy needs for further learning; runners ask for the module only and do without."""
        state = super().get_state(components, not_components=not_components, **kwargs)
        if self._check_component(LEARNING, components, not_components):
            state[LEARNING] = self.module[DEFAULT_MODULE_ID].unwrapped().bandit.get_state()
        return state

    @override(TorchLearner)
    def set_state(self, state: dict[str, Any]) -> None:
        """Restore the state, or the given part of it."""
        super().set_state(state)
        if LEARNING in state:
            self.module[DEFAULT_MODULE_ID].unwrapped().bandit.set_state(state[LEARNING])

    @override(TorchLearner)
    def compute_loss_for_module(self, **kwargs: Any) -> Tensor:
        """There is none."""
        raise NotImplementedError
