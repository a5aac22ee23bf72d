"""The posterior of a value network's last layer, given what it was fitted to: which values may still be otherwise.

Laplace's approximation with Kronecker factors (Ritter et al. 2018, A Scalable Laplace Approximation for Neural
Networks, section 3): the precision of the weights W [O, Z] is `seen / noise^2` times `E[x x'] (x) E[c c']`, with x the
layer's input and a constant 1, and c the derivative of a value by the layer's outputs. Bayesian regression on the last
layer of a Q-network as such: Azizzadenesheli et al. 2018 (arXiv 1802.04412).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

MEMORY = 50  # updates of which the sums are a mean
DAMPING = 1e-3  # added to both factors, as a part of their mean variance: directions never seen stay bounded


def last_layer(values: nn.Module) -> nn.Linear:
    """Return the linear layer that a network ends with."""
    return [module for module in values.modules() if isinstance(module, nn.Linear)][-1]


def with_one(x: Tensor) -> Tensor:
    """Return inputs of a layer with the bias's constant 1."""
    return torch.cat([x, torch.ones_like(x[..., :1])], dim=-1)


class LastLayerPosterior(nn.Module):
    """Running means of the factors and of the squared error.

    Attributes:
        inputs: `E[x x']`, `[Z + 1, Z + 1]`.
        outputs: `E[c c']`, `[O, O]`.
        variance: the mean squared error of the values, `noise^2`.
        updates: of the means.
        seen: transitions that the values were fitted to.
    """

    inputs: Tensor
    outputs: Tensor
    variance: Tensor
    updates: Tensor
    seen: Tensor

    def __init__(self, values: nn.Module) -> None:
        """Begin with weights that may be off by 1 or so."""
        super().__init__()
        layer = last_layer(values)
        self.register_buffer("inputs", torch.eye(layer.in_features + 1))
        self.register_buffer("outputs", torch.eye(layer.out_features))
        for name, value in (("variance", 1.0), ("seen", 1.0), ("updates", 0.0)):
            self.register_buffer(name, torch.tensor(value))

    def learn(self, values: nn.Module, predict: Callable[[], Tensor], error: Tensor, seen: float) -> None:
        """Move the means.

        Args:
            values: the network.
            predict: returns its values `[B]` of a batch's actions.
            error: theirs, `[B]`, in the unit of the values.
            seen: transitions learned from so far.
        """
        kept: list[tuple[Tensor, Tensor]] = []
        hook = last_layer(values).register_forward_hook(lambda _, inputs, out: kept.append((inputs[0], out)))
        try:
            predicted = predict()
        finally:
            hook.remove()
        given, out = kept[-1]
        (by_outputs,) = torch.autograd.grad(predicted.sum(), out)
        x, c = (each.detach().flatten(0, -2) for each in (with_one(given), by_outputs))
        self.updates += 1  # the first replaces what it began with
        weight = 1 / self.updates.clamp_max(MEMORY)
        for mean, now in ((self.inputs, x.T @ x / len(x)), (self.outputs, c.T @ c / len(c))):
            mean.lerp_(now, weight)
        self.variance.lerp_(error.square().mean(), weight)
        self.seen.fill_(seen)

    def draw(self, values: nn.Module, rng: np.random.Generator) -> nn.Module:
        """Return a copy of the network that values every row of a batch by weights drawn for it alone."""
        drawn = copy.deepcopy(values)
        left, right = self._factor(self.outputs), self._factor(self.inputs)
        left = left * (self.variance / self.seen).sqrt()

        def disturb(_: Any, inputs: tuple[Tensor], out: Tensor) -> Tensor:
            known = with_one(inputs[0]) @ right
            shape = (len(out), known.shape[-1], out.shape[-1])
            noise = torch.from_numpy(rng.standard_normal(shape, np.float32)).to(out.device) @ left.T
            return out + torch.einsum("b...z,bzo->b...o", known, noise)

        last_layer(drawn).register_forward_hook(disturb)
        return drawn

    @staticmethod
    def _factor(second: Tensor) -> Tensor:
        """Return F with `F F' = second^-1`, damped."""
        size = len(second)
        scale = (second.trace() / size).clamp_min(1e-12)
        damped = second.double() / scale + DAMPING * torch.eye(size, dtype=torch.float64, device=second.device)
        lower = torch.linalg.cholesky(damped)
        identity = torch.eye(size, dtype=torch.float64, device=second.device)
        return (torch.linalg.solve_triangular(lower, identity, upper=False).mT / scale.sqrt()).float()
