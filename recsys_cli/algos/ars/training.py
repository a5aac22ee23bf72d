"""Augmented random search (Mania et al. 2018, algorithm 2, V2-t)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys_cli.algos.evolution.training import Evolution


class AugmentedRandomSearch(Evolution):
    """Moves along the best directions, in steps of the returns' standard deviation."""

    def move(self, centre: Tensor, noise: Tensor, returns: NDArray[np.float64]) -> Tensor:
        """See `Evolution.move`."""
        directions = max(round(self.settings.top_fraction * returns.shape[1]), 1)
        best = np.argsort(-returns.max(0), kind="stable")[:directions]
        better, worse = returns[:, best]
        scale = max(float(returns[:, best].std()), 1e-6)  # 0 if all perturbations act alike
        gain = torch.from_numpy(((better - worse) / (directions * scale)).astype(np.float32))
        return self.lr * (gain @ noise[best])
