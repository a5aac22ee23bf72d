"""How much of a session is left: learned from the totals at which sessions end, and then seen instead of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recsys_cli.policies.memory import TOTALS

FEWEST_ENDS = 8  # ended sessions from which their common limit is learned
SHARPEST = 0.15  # deviation of what was left at their ends, as a share of a session, up to which there is a limit


class SessionLimit(nn.Module):
    """Replaces the session's totals `h` [B, 4] by `z = 1 - w . h`, the share of the session that is left.

    Sessions that end when something is used up, be it minutes, clicks or steps, end at a plane in the space of their
    totals, `w . h = 1`. Then z is all that the totals say about the rest of the session; what else they tell, such as
    the quality of past clicks, a value mistakes for a cause. As long as there is no such plane, totals pass as they
    are. Without memory it does nothing.

    Attributes:
        sums: of `(1, h) (1, h)'` over the ends of sessions, `[5, 5]` float64.
        matrix, constant: `h` is mapped to `matrix h + constant`.
    """

    sums: Tensor
    matrix: Tensor
    constant: Tensor

    def __init__(self) -> None:
        """Know of no limit."""
        super().__init__()
        self.register_buffer("sums", torch.zeros((1 + TOTALS, 1 + TOTALS), dtype=torch.float64))
        self.register_buffer("matrix", torch.eye(TOTALS))
        self.register_buffer("constant", torch.zeros(TOTALS))

    def forward(self, memory: Tensor) -> Tensor:
        """Return the memory `[B, M]`, whose first features are the totals, as a network sees it."""
        totals, rest = memory[:, :TOTALS], memory[:, TOTALS:]
        return torch.cat([totals @ self.matrix.T + self.constant, rest], dim=-1)

    def learn(self, ends: Tensor) -> None:
        """Learn the limit.

        Args:
            ends: totals at the ends of more sessions, `[n, 4]`.
        """
        x = torch.cat([ends.new_ones((len(ends), 1)), ends], dim=1).double()
        self.sums += x.T @ x
        count, total, gram = self.sums[0, 0], self.sums[0, 1:], self.sums[1:, 1:]
        if count < FEWEST_ENDS:
            return
        weak = torch.diag(1e-5 * gram.diagonal() + 1e-9 * gram.trace() + 1e-30)
        limit = torch.linalg.solve(gram + weak, total)
        left = (count - 2 * limit @ total + limit @ gram @ limit).clamp_min(0) / (count - TOTALS)
        self.matrix.copy_(torch.eye(TOTALS))
        self.constant.zero_()
        if left.sqrt() < SHARPEST:
            self.matrix.zero_()
            self.matrix[0], self.constant[0] = -limit, 1.0
