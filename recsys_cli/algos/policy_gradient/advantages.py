"""Advantages of time-major rollouts."""

from __future__ import annotations

import torch
from torch import Tensor


def generalised_advantages(
    values: Tensor, reward: Tensor, terminated: Tensor, valid: Tensor, discount: float, gae_lambda: float
) -> Tensor:
    """Return generalised advantages (Schulman et al. 2016, arXiv 1506.02438, eq. 16) for N users in lock-step.

    The row after an episode's end is not valid, but holds its true last observation (next-step autoreset), from which
    a truncated episode is bootstrapped, as all are at the rollout's end.

    Args:
        values: of the states before the T steps and after the last, `[T + 1, N]`.
        reward: `[T, N]`.
        terminated: whether the episode ended in the step, `[T, N]` bool.
        valid: False if the step only began a new episode, `[T, N]` bool.
        discount: of one step.
        gae_lambda: weight of longer sums of rewards; 0 takes one step, 1 all.

    Returns:
        `[T, N]`; 0 if not valid.
    """
    delta = (reward + discount * values[1:] * ~terminated - values[:-1]) * valid
    advantages = torch.zeros_like(delta)
    following = torch.zeros_like(delta[0])
    for t in range(len(delta) - 1, -1, -1):
        # 0 in a row that is not valid: nothing flows over the end of an episode.
        following = (delta[t] + discount * gae_lambda * following) * valid[t]
        advantages[t] = following
    return advantages


def standardised(advantages: Tensor) -> Tensor:
    """Return advantages of mean 0 and standard deviation 1."""
    return (advantages - advantages.mean()) / advantages.std(correction=0).clamp_min(1e-4)
