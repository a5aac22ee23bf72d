"""Evolution strategies (Salimans et al. 2017, algorithm 2, in one process)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys_cli.algos.evolution.training import Evolution
from recsys_cli.networks.optimizers import fused_adam, load_optimizer_state, optimizer_state


class EvolutionStrategies(Evolution):
    """Adam on the gradient of the expected rank of a perturbed network."""

    def __init__(self, *arguments: Any) -> None:
        """Make the optimiser; see `Evolution`."""
        super().__init__(*arguments)
        self._step = torch.zeros(self.weights.size, requires_grad=True)
        self._adam = fused_adam([self._step], self.lr)

    def move(self, centre: Tensor, noise: Tensor, returns: NDArray[np.float64]) -> Tensor:
        """See `Evolution.move`."""
        better, worse = torch.from_numpy(centred_ranks(returns).astype(np.float32))
        self._step.detach().zero_()
        self._step.grad = self.settings.weight_decay * centre - (better - worse) @ noise / returns.size
        self._adam.param_groups[0]["lr"] = self.lr
        self._adam.step()
        return self._step.detach()

    def get_state(self) -> dict[str, Any]:
        """Add Adam's moments."""
        return {**super().get_state(), "adam": optimizer_state(self._adam)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore what `get_state` returned."""
        super().set_state(state)
        load_optimizer_state(self._adam, state["adam"])


def centred_ranks(returns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ranks from -0.5 (the least) to 0.5, so that no outlier counts more than its order."""
    order = returns.ravel().argsort(kind="stable").argsort(kind="stable")
    return (order / (returns.size - 1) - 0.5).reshape(returns.shape)
