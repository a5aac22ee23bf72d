"""A belief about the user, filtered from what sessions showed so far and learned with the choices that it explains."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

BELIEF = 16  # features of a belief, H
HIDDEN = 32


class BeliefFilter(nn.Module):
    """`h' = a h + sqrt(1 - a^2) f(x)`: the evidence x of every step, weighed by an MLP and summed with a fading weight.

    A diagonal linear recurrence with the normalisation of Orvieto et al. 2023 (arXiv 2303.06349, section 3.4), here of
    real numbers. Log-odds of hidden types, budgets spent and fading averages are such sums. Unlike a GRU's, its steps
    are no product of Jacobians, and only the MLP, which takes all steps at once, costs anything.
    """

    def __init__(self, evidence: int) -> None:
        """Begin with memories from a few to a thousand steps long; `evidence` is the number of features X of a step."""
        super().__init__()
        self.into, self.out = nn.Linear(evidence, HIDDEN), nn.Linear(HIDDEN, BELIEF)
        nn.init.zeros_(self.out.weight)  # nothing is believed before it explains something
        nn.init.zeros_(self.out.bias)
        self.span = nn.Parameter(torch.logspace(0.5, 3.0, BELIEF).log())  # of a / (1 - a), in steps

    def forward(self, belief: Tensor, evidence: Tensor, counted: Tensor) -> Tensor:
        """Return the belief `[B, H]` after L further steps.

        Args:
            belief: before them, `[B, H]`.
            evidence: of each, `[B, L, X]`.
            counted: which steps are those of the session, `[B, L]` bool; the others change nothing.
        """
        keep = torch.sigmoid(self.span)
        added = self._weighed(evidence) * (1 - keep.square()).sqrt()
        for t in range(evidence.shape[1]):
            belief = torch.where(counted[:, t, None], keep * belief + added[:, t], belief)
        return belief

    def _weighed(self, evidence: Tensor) -> Tensor:
        return self.out(torch.relu(self.into(evidence)))

    @torch.no_grad()
    def stepped(self, belief: NDArray[np.float32], evidence: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the beliefs `[N, H]` after one more step with the evidence `[N, X]`.

        Each user is computed alone: alone or among others, a user's belief is the same to the bit.
        """
        (into, bias), (out, offset) = ((_array(each.weight.T), _array(each.bias)) for each in (self.into, self.out))
        hidden: Any = np.maximum(np.matmul(evidence[:, None], into) + bias, 0)
        keep = torch.sigmoid(self.span)
        after: NDArray[np.float32] = _array(keep) * belief
        after += _array((1 - keep.square()).sqrt()) * (np.matmul(hidden, out)[:, 0] + offset)
        return after

    @torch.no_grad()
    def refresh(
        self,
        beliefs: NDArray[np.float32],
        evidence: NDArray[np.float32],
        valid: NDArray[np.bool_],
        order: Sequence[int],
    ) -> None:
        """Compute the beliefs `[T, N, H]` before consecutive steps anew, in place, from the first row's.

        Args:
            beliefs: to be overwritten.
            evidence: `[T, N, X]`.
            valid: false if a step only began a new session, `[T, N]`.
            order: the rows, oldest first.
        """
        keep = torch.sigmoid(self.span)
        gain, rows, seen, goes_on = (1 - keep.square()).sqrt(), *map(torch.from_numpy, (beliefs, evidence, valid))
        for t, after in pairwise(order):
            rows[after] = (keep * rows[t] + gain * self._weighed(seen[t])) * goes_on[t, :, None]


def _array(tensor: Any) -> NDArray[np.float32]:
    return np.ascontiguousarray(tensor.detach().cpu().numpy())
