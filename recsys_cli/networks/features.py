"""Inputs of the networks: users, their memory, and documents as features or numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from recsys_cli.envs.spec import Documents


class Observed(NamedTuple):
    """What is known of B users when their slates are chosen.

    Attributes:
        user: observed features, `[B, U]`.
        doc: candidates, `[B, C, F]` or numbers `[B, C]` of topics or items.
        memory: what the policy remembers of the session, `[B, M]`; None if nothing.
        mask: which candidates are present, `[B, C]` bool; None if all are.
    """

    user: Tensor
    doc: Tensor
    memory: Tensor | None = None
    mask: Tensor | None = None

    @property
    def state(self) -> Tensor:
        """User and memory, `[B, U + M]`."""
        return self.user if self.memory is None else torch.cat([self.user, self.memory], dim=-1)

    def take(self, rows: Tensor) -> Observed:
        """Return some of the users."""
        memory, mask = (None if each is None else each[rows] for each in (self.memory, self.mask))
        return Observed(self.user[rows], self.doc[rows], memory, mask)

    def showing(self, slates: Tensor) -> Observed:
        """Return the same with the documents of slates `[B, k]` as candidates; positions of -1 are masked."""
        if self.mask is None:
            return self._replace(doc=pick_documents(self.doc, slates))
        return self._replace(doc=pick_documents(self.doc, slates.clamp_min(0)), mask=slates >= 0)


def observation_tensors(observation: Mapping[str, Any], device: torch.device) -> Observed:
    """Return an observation as tensors on `device`."""
    arrays = {name: np.asarray(observation[name]) for name in Observed._fields if name in observation}
    if "mask" in arrays:
        arrays["mask"] = arrays["mask"].astype(bool)  # gymnasium's own samples are of int8
    return Observed(**{name: torch.as_tensor(array, device=device) for name, array in arrays.items()})


def seen_in(observation: Mapping[str, Any], documents: Documents) -> Observed:
    """Return an observation as choice models take it, with items as features."""
    seen = observation_tensors(observation, torch.device("cpu"))
    if documents.items is None:
        return seen
    return seen._replace(doc=torch.from_numpy(documents.dense(np.asarray(observation["doc"]))))


def is_index(doc: Tensor) -> bool:
    """Whether documents are topic numbers `[..]` that stand for one-hot rows, not features `[.., F]`."""
    return not doc.is_floating_point()


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
