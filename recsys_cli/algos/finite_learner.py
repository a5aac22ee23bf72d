"""Learners that stop at the first update that is not finite."""

from __future__ import annotations

import math
from typing import Any

import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.learner import Learner
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.utils.annotations import override
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME
from torch import Tensor


class FiniteLearner(TorchLearner):
    """Mixes with every learner: an update ends the training if a loss, or what it leaves as weights, is not finite.

    The losses alone do not tell: RLlib's DQN takes a value of NaN for 0. Gradients that are not finite are seen in the
    weights: with `torch_skip_nan_gradients` (see `SlateAlgorithmConfig`) RLlib does not set them to zero.
    """

    summed_loss: Tensor | float = 0.0  # of an update's gradient steps; read once, since a GPU would have to be awaited
    not_finite: str | None = None

    def watch(self, loss: Tensor | float) -> None:
        """Take a loss of the update in progress."""
        self.summed_loss = self.summed_loss + (loss.detach() if isinstance(loss, Tensor) else loss)

    @override(TorchLearner)
    def compute_gradients(self, loss_per_module: dict[str, Any], **kwargs: Any) -> dict[Any, Any]:
        """Also watch the loss."""
        self.watch(loss_per_module[DEFAULT_MODULE_ID])
        gradients: dict[Any, Any] = super().compute_gradients(loss_per_module, **kwargs)
        return gradients

    @override(TorchLearner)
    def after_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """Also look at losses and weights; raising here would end the thread in which IMPALA learns, unheard."""
        super().after_gradient_based_update(timesteps=timesteps)
        norms = torch._foreach_norm([value.detach() for value in self._params.values()]) if self._params else []
        if not math.isfinite(float(sum(norms, start=self.summed_loss))):
            steps = int(timesteps.get(NUM_ENV_STEPS_SAMPLED_LIFETIME, 0))
            self.not_finite = f"{self._culprit()} in the update after {steps:,} env steps: the training diverged"
        self.summed_loss = 0.0

    def _culprit(self) -> str:
        """Return the loss, or else the weight that is not finite or whose square is not, by name and value."""
        if not math.isfinite(loss := float(self.summed_loss)):
            return f"loss={loss}"
        largest = {
            name: float(value.detach().abs().max())  # NaN if there is one
            for name, value in self.module[DEFAULT_MODULE_ID].unwrapped().named_parameters()
        }
        name = max(largest, key=lambda name: math.inf if math.isnan(largest[name]) else largest[name])
        return f"{name}={largest[name]}"

    @override(Learner)
    def update(self, *args: Any, **kwargs: Any) -> Any:
        """Update as RLlib does.

        Raises:
            FloatingPointError: a loss or a weight is not finite.
        """
        results = super().update(*args, **kwargs)
        if self.not_finite is not None:
            raise FloatingPointError(self.not_finite)
        return results
