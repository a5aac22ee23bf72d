"""What is left of a session: its limit is learned from the totals at which sessions end."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys_cli.policies.base import Floats
from recsys_cli.policies.memory import TOTALS

FEWEST_ENDS = 8  # ended sessions from which their common limit is learned
SHARPEST = 0.15  # deviation of what was left at their ends, as a share of a session, up to which there is a limit
SCALES = tuple(4.0**power for power in range(TOTALS))  # a session, and down to 1/64 of it, where its end is decided


def ends_of(totals: NDArray[np.floating]) -> Floats:
    """Return the sum of `(1, h) (1, h)'`, `[5, 5]`, over the totals at the ends of sessions, `[n, 4]`."""
    x = np.insert(np.asarray(totals, np.float64), 0, 1.0, axis=1)
    return x.T @ x


def learned_limit(ends: Floats) -> Floats:
    """Return w with `w . h = 1` at the ends of sessions, `[4]`; zeros if there is no such plane.

    Sessions that end when something is used up, be it minutes, clicks or steps, end at a plane in the space of their
    totals; `1 - w . h` is the share of the session that is left.

    Args:
        ends: of all sessions that have ended, as from `ends_of`.
    """
    count, total, gram = ends[0, 0], ends[0, 1:], ends[1:, 1:]
    if count < FEWEST_ENDS:
        return np.zeros(TOTALS)
    weak = np.diag(1e-5 * gram.diagonal() + 1e-9 * gram.trace() + 1e-30)
    limit = np.asarray(np.linalg.solve(gram + weak, total))
    squares = count - 2 * limit @ total + limit @ gram @ limit
    left = np.sqrt(max(squares, 0.0) / (count - TOTALS))
    return limit if left < SHARPEST else np.zeros(TOTALS)


class SessionLimit(nn.Module):
    """Shows networks what is left of a session instead of its totals, as soon as a limit of sessions is learned.

    What is left is all that the totals say about the rest of the session. What else they tell, such as how good past
    clicks were, a value mistakes for a cause.

    Attributes:
        ends: see `ends_of`.
        limit: see `learned_limit`.
    """

    ends: Tensor
    limit: Tensor
    scales: Tensor

    def __init__(self) -> None:
        """Know of no limit."""
        super().__init__()
        # float32, as RLlib restores every module: a resumed training learns the same limit to the bit.
        self.register_buffer("ends", torch.zeros((1 + TOTALS, 1 + TOTALS)))
        self.register_buffer("limit", torch.zeros(TOTALS))
        self.register_buffer("scales", torch.tensor(SCALES), persistent=False)

    def forward(self, memory: Tensor) -> Tensor:
        """Return the memory `[B, M]`, with `min(1, scale * left)` for each scale in place of the totals."""
        totals, rest = memory[:, :TOTALS], memory[:, TOTALS:]
        left = (self.scales * (1 - totals @ self.limit)[:, None]).clamp_max(1)
        return torch.cat([torch.where(self.limit.any(), left, totals), rest], dim=-1)

    def learn(self, totals: Tensor) -> None:
        """Learn from the totals at the ends of more sessions, `[n, 4]`."""
        self.ends.copy_(self.ends.double().cpu() + torch.from_numpy(ends_of(totals.cpu().numpy())))
        self.limit.copy_(torch.from_numpy(learned_limit(self.ends.double().cpu().numpy())))
