"""Many networks of one kind in one forward pass."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn


class BlockLinear(nn.Module):
    """P linear layers: inputs come in P equal blocks of rows, each with a layer of its own."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        """Take the weights `[P, O, I]` and biases `[P, O]`."""
        super().__init__()
        self.weight = nn.Parameter(weight.mT.contiguous(), requires_grad=False)
        self.bias = nn.Parameter(bias[:, None], requires_grad=False)

    def forward(self, rows: Tensor) -> Tensor:
        """Return `[B, ..., O]` for `[B, ..., I]`; P divides B."""
        blocks = rows.reshape(len(self.weight), -1, rows.shape[-1])
        return torch.baddbmm(self.bias, blocks, self.weight).reshape(*rows.shape[:-1], -1)


def in_blocks(network: nn.Module, parameters: Mapping[str, Tensor]) -> nn.Module:
    """Return P networks as one, of which each computes its own block of the batch.

    Args:
        network: what they look like; all its parameters are those of linear layers.
        parameters: `[P, ...]`, by name.
    """
    together = copy.deepcopy(network)
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Linear):
            own = BlockLinear(parameters[f"{name}.weight"], parameters[f"{name}.bias"])
            together.set_submodule(name, own)
    return together
