"""Torch's optimisers without its compiler."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

# Torch's optimisers import its compiler at their first call, for two CPU seconds, to keep themselves out of compiled
# graphs. No graph of ours has them in it, so these do without.
for _name in ("add_param_group", "load_state_dict", "state_dict", "zero_grad"):
    _plain = getattr(torch.optim.Optimizer, _name).__wrapped__
    _plain.__dict__.setdefault("__dynamo_disable", _plain)


class Adam(torch.optim.Adam):
    """Torch's Adam, bit for bit."""

    _step = inspect.unwrap(torch.optim.Adam.step)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Take one step."""
        return self._step(closure)


class RMSprop(torch.optim.RMSprop):
    """Torch's RMSprop, bit for bit."""

    _step = inspect.unwrap(torch.optim.RMSprop.step)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Take one step."""
        return self._step(closure)


def fused_adam(params: list[Tensor], lr: float) -> Adam:
    """Return Adam; its fused kernels take one call for all parameters."""
    return Adam(params, lr=lr, fused=True)


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, dict[str, np.ndarray]]:
    """Return copies of an optimiser's moments, by parameter's number and name; not its settings."""
    state = optimizer.state_dict()["state"]
    return {str(number): {name: np.array(value) for name, value in own.items()} for number, own in state.items()}


def load_optimizer_state(optimizer: torch.optim.Optimizer, state: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Restore what `optimizer_state` returned."""
    moments = {int(key): {name: torch.tensor(value) for name, value in own.items()} for key, own in state.items()}
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
