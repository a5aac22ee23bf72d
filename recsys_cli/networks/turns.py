"""Many networks of one kind in one forward pass."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn


class TurnsLinear(nn.Module):
    """P linear layers: row n goes through layer n modulo P."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        """Take the weights `[P, O, I]` and biases `[P, O]`."""
        super().__init__()
        self.weight = nn.Parameter(weight.mT.contiguous(), requires_grad=False)
        self.bias = nn.Parameter(bias[:, None], requires_grad=False)

    def forward(self, rows: Tensor) -> Tensor:
        """Return `[B, ..., O]` for `[B, ..., I]`; P divides B."""
        turns = rows.unflatten(0, (-1, len(self.weight))).movedim(1, 0)  # [P, B / P, ..., I]
        out = torch.baddbmm(self.bias, turns.reshape(len(self.weight), -1, rows.shape[-1]), self.weight)
        return out.unflatten(1, turns.shape[1:-1]).movedim(0, 1).flatten(0, 1)


def in_turns(network: nn.Module, parameters: Mapping[str, Tensor]) -> nn.Module:
    """Return P networks as one, which take the rows of a batch in turns.

    Args:
        network: what they look like; all its parameters are those of linear layers.
        parameters: `[P, ...]`, by name.
    """
    together = copy.deepcopy(network)
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Linear):
            together.set_submodule(name, TurnsLinear(parameters[f"{name}.weight"], parameters[f"{name}.bias"]))
    return together
