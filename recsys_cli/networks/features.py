"""Documents as the networks take them: dense features, or the number of a one-hot topic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


def is_index(doc: Tensor | np.ndarray) -> bool:
    """Whether documents are topic numbers `[B, C]` that stand for one-hot rows, not features `[B, C, F]`."""
    return doc.ndim == 2


def dot_documents(doc: Tensor, weight: Tensor) -> Tensor:
    """Return `doc . weight` for every candidate, `[B, C]`.

    Args:
        doc: `[B, C, F]`, or topic numbers `[B, C]`.
        weight: one vector a user, `[B, F]`.
    """
    if is_index(doc):
        return weight.gather(-1, doc.long())
    return torch.bmm(doc, weight.unsqueeze(-1)).squeeze(-1)


def pick_documents(doc: Tensor, slate: Tensor) -> Tensor:
    """Return the documents at the positions `slate` [B, k] of `doc` ([B, C, F] or topic numbers [B, C])."""
    if is_index(doc):
        return doc.gather(1, slate)
    return doc.gather(1, slate[..., None].expand(-1, -1, doc.shape[-1]))


def observation_tensors(observation: Mapping[str, Any], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return `user` and `doc` of an observation as tensors on `device`."""
    user = torch.as_tensor(np.asarray(observation["user"]), device=device)
    return user, torch.as_tensor(np.asarray(observation["doc"]), device=device)
