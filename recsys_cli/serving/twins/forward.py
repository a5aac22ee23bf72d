"""Forward passes of `recsys_cli.networks` in NumPy.

At a few candidates of a few users torch spends its time on calls, not on arithmetic. Every user is computed alone, and
every candidate by its number of operations alone, so that neither other users nor absent candidates change what comes
out: a request answered alone and one among many get the same bits. (A product of matrices is BLAS's, of one user's
candidates at once; it computes rows alike, tested.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32s = NDArray[np.float32]
ItemForward = Callable[[Float32s, Float32s], tuple[Any, Any]]
"""`(state [B, S], doc [B, C, F])` -> `q` [B, C] and `q_null` [B]."""


def dot(doc: NDArray[Any], weight: NDArray[Any]) -> Any:
    """Return `doc . weight` of every candidate, `[B, C]`, of `[B, C, F]` and one vector a user, `[B, F]`."""
    return np.einsum("bcf,bf->bc", doc, weight)  # not BLAS's, whose rows' last bits depend on their number


def with_constant(state: NDArray[Any]) -> NDArray[Any]:
    """Give users without features a constant one."""
    return state if state.shape[1] else np.ones((len(state), 1), np.float32)


class Perceptron:
    """Linear layers with a ReLU after each but the last, or after the last too."""

    def __init__(self, layers: Sequence[Any], last_relu: bool = False) -> None:
        """Copy the weights of torch's linear layers, in their order."""
        self.layers = [(_weight(layer), _array(layer.bias)) for layer in layers]
        self.rectified = len(layers) if last_relu else len(layers) - 1

    def __call__(self, x: NDArray[Any]) -> Any:
        """Return the outputs `[B, n, O]` for inputs `[B, n, I]`."""
        for number, (weight, bias) in enumerate(self.layers):
            # A column of one is not a product of matrices to BLAS.
            x = x @ weight if weight.shape[1] > 1 else np.einsum("bni,io->bno", x, weight)
            x += bias
            if number < self.rectified:
                np.maximum(x, 0, out=x)
        return x


def linear_layers(module: Any) -> list[Any]:
    """Return the linear layers of a sequence of modules."""
    return [layer for layer in module if hasattr(layer, "weight")]


class TwoTowerForward:
    """`networks.item_values.TwoTower`, and `DocumentValues` if it is `blind` to users."""

    def __init__(self, network: Any, blind: bool) -> None:
        """Copy a network's weights."""
        self.scale, self.blind = np.float32(network.scale), blind
        self.user_tower = Perceptron(linear_layers(network.user_tower))
        tower = network.doc_tower
        self.doc_tower = None if tower is None else Perceptron(linear_layers(tower), last_relu=True)

    def __call__(self, state: Float32s, doc: Float32s) -> tuple[Any, Any]:
        """See `ItemForward`."""
        out = self.user_tower(with_constant(state[:, :0] if self.blind else state)[:, None])[:, 0] * self.scale
        value, null, weight, features = out[:, 0], out[:, 1], out[:, 2:], doc.shape[2]
        q = value[:, None] + dot(doc, weight[:, :features])
        if self.doc_tower is not None:
            q += dot(self.doc_tower(doc), weight[:, features:])
        return q, value + null


class ConcatForward:
    """`networks.item_values.Concat`."""

    def __init__(self, network: Any) -> None:
        """Copy a network's weights."""
        self.scale = np.float32(network.scale)
        self.first_user = Perceptron([network.first_user])
        self.first_doc, self.first_null = _weight(network.first_doc), _array(network.first_null)
        self.rest = Perceptron(linear_layers(network.rest))

    def __call__(self, state: Float32s, doc: Float32s) -> tuple[Any, Any]:
        """See `ItemForward`."""
        users, candidates = doc.shape[:2]
        hidden = np.empty((users, candidates + 1, len(self.first_null)), np.float32)
        np.matmul(doc, self.first_doc, out=hidden[:, 1:])
        hidden[:, 0] = self.first_null
        hidden += self.first_user(with_constant(state)[:, None])
        np.maximum(hidden, 0, out=hidden)
        q = self.rest(hidden)[..., 0] * self.scale
        return q[:, 1:], q[:, 0]


def _weight(layer: Any) -> Float32s:
    return np.ascontiguousarray(_array(layer.weight).T)


def _array(parameter: Any) -> Float32s:
    return np.array(parameter.detach().cpu().numpy(), np.float32)
