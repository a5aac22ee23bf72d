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


class FusedAdam(Adam):
    """Torch's fused Adam, bit for bit, without its look at every option at every step: two thirds of a small one."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Take one step; Torch's own takes the first, and makes the moments."""
        if not all(self.state.get(p) for group in self.param_groups for p in group["params"]):
            return super().step(closure)
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            states = [self.state[p] for p in params]
            steps, first, second = ([state[name] for state in states] for name in ("step", "exp_avg", "exp_avg_sq"))
            torch._foreach_add_(steps, 1)
            own = {name: group[name] for name in ("lr", "weight_decay", "eps", "amsgrad", "maximize")}
            beta1, beta2 = group["betas"]
            gradients = [p.grad for p in params]
            torch._fused_adam_(params, gradients, first, second, [], steps, beta1=beta1, beta2=beta2, **own)
        return None


def fused_adam(params: list[Tensor], lr: float) -> FusedAdam:
    """Return Adam; its fused kernels take one call for all parameters."""
    return FusedAdam(params, lr=lr, fused=True)


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, dict[str, np.ndarray]]:
    """Return copies of an optimiser's moments, by parameter's number and name; not its settings."""
    state = optimizer.state_dict()["state"]
    return {str(number): {name: np.array(value) for name, value in own.items()} for number, own in state.items()}


def load_optimizer_state(optimizer: torch.optim.Optimizer, state: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Restore what `optimizer_state` returned."""
    moments = {int(key): {name: torch.tensor(value) for name, value in own.items()} for key, own in state.items()}
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
