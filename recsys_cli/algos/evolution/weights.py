"""A network's weights as one vector, seen by the search as if the network's inputs were normalised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys_cli.networks.item_values import TwoTower


class Moments:
    """Mean and standard deviation of all states seen, feature by feature."""

    def __init__(self, features: int) -> None:
        """Have seen none of S features."""
        self.sums: NDArray[np.float64] = np.zeros((3, features))  # number, sum, sum of squares

    def add(self, states: NDArray[Any]) -> None:
        """Add states `[n, S]`."""
        states = states.astype(np.float64)
        self.sums += np.stack([np.full(states.shape[1], len(states)), states.sum(0), np.square(states).sum(0)])

    def normalisation(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and deviation `[S]`; 0 and 1 before any state, and a deviation of 1 if a feature is constant."""
        number = np.maximum(self.sums[0], 1)
        mean = self.sums[1] / number
        deviation = np.sqrt(np.maximum(self.sums[2] / number - np.square(mean), 0))
        return mean, np.where(deviation > 1e-3, deviation, 1.0)


class Weights:
    """All weights of a network of item values as one vector of D, of the network or of the search.

    The search's vector is that of the same function of normalised states, x = (s - mean) / deviation: W s + b is
    (W deviation) x + (b + W mean). So a perturbation moves every feature's share alike (Mania et al. 2018, V2).
    """

    def __init__(self, values: TwoTower) -> None:
        """Take the network."""
        self.values = values
        self.shapes = {name: parameter.shape for name, parameter in values.named_parameters()}
        ends = np.cumsum([shape.numel() for shape in self.shapes.values()]).tolist()
        self.slices = {
            name: slice(end - shape.numel(), end) for (name, shape), end in zip(self.shapes.items(), ends, strict=True)
        }
        self.size, self.first = ends[-1], values.state_layer
        self.inputs = self.shapes[f"{self.first}.weight"][1]

    def now(self) -> Tensor:
        """Return the network's vector `[D]`."""
        return nn.utils.parameters_to_vector(self.values.parameters()).detach().clone()

    def put(self, vector: Tensor) -> None:
        """Give the network a vector `[D]`."""
        nn.utils.vector_to_parameters(vector, self.values.parameters())

    def by_name(self, vectors: Tensor) -> Mapping[str, Tensor]:
        """Return the parameters `[P, ...]` in vectors `[P, D]`."""
        return {name: vectors[:, own].unflatten(1, self.shapes[name]) for name, own in self.slices.items()}

    def of_search(self, vectors: Tensor, moments: Moments) -> Tensor:
        """Return the search's vectors `[P, D]` for those of the network."""
        return self._moved(vectors, *self._tensors(moments))

    def of_network(self, vectors: Tensor, moments: Moments) -> Tensor:
        """Return the network's vectors `[P, D]` for those of the search."""
        mean, deviation = self._tensors(moments)
        return self._moved(vectors, -mean / deviation, 1 / deviation)

    def _tensors(self, moments: Moments) -> tuple[Tensor, Tensor]:
        mean, deviation = moments.normalisation()
        return torch.tensor(mean, dtype=torch.float32), torch.tensor(deviation, dtype=torch.float32)

    def _moved(self, vectors: Tensor, shift: Tensor, factor: Tensor) -> Tensor:
        """Return vectors with `W factor` in place of W, and `b + W shift` in place of b, in the states' layer."""
        moved = vectors.clone()
        weight, bias = (self.slices[f"{self.first}.{name}"] for name in ("weight", "bias"))
        layer = vectors[:, weight].unflatten(1, self.shapes[f"{self.first}.weight"])
        moved[:, weight] = (layer * factor).flatten(1)
        moved[:, bias] += layer @ shift
        return moved
