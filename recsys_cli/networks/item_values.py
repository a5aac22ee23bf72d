"""Item-wise values: one shared network over (user, document), with an extra output for the null item (no click).

Every network maps `state` [B, S], the user and the memory, and `doc` [B, C, F] (or topic numbers [B, C]) to
`(q [B, C], q_null [B])`. C is free: the same parameters serve any number of candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from recsys_cli.envs.spec import Documents
from recsys_cli.networks.features import dot_documents, is_index

CACHED = 180_000  # numbers of a layer that a CPU core's cache holds beside the next layer's


def mlp(sizes: Sequence[int]) -> nn.Sequential:
    """Stack linear layers with a ReLU after each but the last."""
    layers: list[nn.Module] = []
    for i, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        layers.append(nn.Linear(fan_in, fan_out))
        if i < len(sizes) - 2:
            layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def with_constant(user: Tensor) -> Tensor:
    """Give users without features a constant one, so that a network has an input."""
    return user if user.shape[-1] else user.new_ones((*user.shape[:-1], 1))


def _in_parts(value: Callable[[Tensor, Tensor], Tensor], width: int, doc: Tensor, mine: Tensor) -> Tensor:
    """Return `value(doc, mine)`, on a CPU of so many users at a time that a layer of `width` a user stays in its cache.

    Wide layers are bound by memory. Compilers and GPUs have their own ways.
    """
    users = max(CACHED // width, 1)
    if len(doc) <= users or doc.device.type != "cpu" or torch.compiler.is_compiling():
        return value(doc, mine)
    return torch.cat([value(*part) for part in zip(doc.split(users), mine.split(users), strict=True)])


class TwoTower(nn.Module):
    """`q(u, d) = scale * (V(u) + phi(d) . g(u))`: a user tower gives V, g and the null's value; phi is the document.

    The user tower runs once per user, not once per candidate, which makes this the fast network; on one-hot topics
    `phi(d) . g(u)` picks one output per topic. For dense documents phi holds the features and a learned transformation
    of them, so that the value need not be linear in the features.
    """

    state_layer = "user_tower.0"  # the linear layer that takes the state

    def __init__(
        self, state_features: int, documents: Documents, hidden: Sequence[int], doc_hidden: int, scale: float
    ) -> None:
        """Build the towers.

        Args:
            state_features: S; 0 is allowed.
            documents: what they look like.
            hidden: widths of the user tower.
            doc_hidden: width of the document tower; 0, or one-hot documents: none.
            scale: scale of all outputs; about the size of the values in units of the user tower's outputs.
        """
        super().__init__()
        self.scale = scale
        width = len(documents)
        self.doc_tower = None if documents.one_hot or not doc_hidden else mlp([width, doc_hidden, doc_hidden])
        width += doc_hidden if self.doc_tower is not None else 0
        self.user_tower = mlp([max(state_features, 1), *hidden, width + 2])

    def forward(self, state: Tensor, doc: Tensor) -> tuple[Tensor, Tensor]:
        """Return `q` [B, C] and `q_null` [B]."""
        value, null, weight = self._user(state)
        return value[:, None] + dot_documents(self._phi(doc), weight), value + null

    def one(self, state: Tensor, doc: Tensor, nothing: Tensor) -> Tensor:
        """Return `[B]`: each user's value of one document, `[B, F]` or `[B]`, or of the null if `nothing` [B]."""
        if is_index(doc):  # what is picked at once has one gradient to be spread over the outputs, not three
            picked = (doc.long() + 2).masked_fill(nothing, 1)
            at = torch.stack([torch.zeros_like(picked), picked], dim=-1)
            return self._outputs(state).gather(-1, at).sum(-1) * self.scale
        value, null, weight = self._user(state)
        return value + null.where(nothing, dot_documents(self._phi(doc[:, None]), weight)[:, 0])

    def _user(self, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        out = self._outputs(state) * self.scale
        return out[:, 0], out[:, 1], out[:, 2:]

    def _outputs(self, state: Tensor) -> Tensor:
        """Return V, the null's value over V, and g, `[B, 2 + width]`, in units of `scale`."""
        outputs: Tensor = self.user_tower(with_constant(state))
        return outputs

    def _phi(self, doc: Tensor) -> Tensor:
        return doc if self.doc_tower is None else torch.cat([doc, torch.relu(self.doc_tower(doc))], dim=-1)


class DocumentValues(TwoTower):
    """`q(d)`: values of the documents alone; the user only enters through the choice model.

    If part of the user's state is hidden, values of the observed user are biased by whatever correlates with it.
    """

    def __init__(self, documents: Documents, hidden: Sequence[int], doc_hidden: int, scale: float) -> None:
        """Build the towers; arguments as for `TwoTower`."""
        super().__init__(0, documents, hidden, doc_hidden, scale)

    def _outputs(self, state: Tensor) -> Tensor:
        return super()._outputs(state[..., :0])


class Concat(nn.Module):
    """The paper's network: an MLP over the concatenation of user and document features.

    The first layer is split, `W [u; d] = W_u u + W_d d`, so that the user's half is computed once per user. The null
    item is another document, whose first-layer vector is learned.
    """

    def __init__(self, state_features: int, documents: Documents, hidden: Sequence[int], scale: float) -> None:
        """Build the layers; arguments as for `TwoTower`."""
        super().__init__()
        self.scale = scale
        self.first_user = nn.Linear(max(state_features, 1), hidden[0])
        self.first_doc = nn.Linear(len(documents), hidden[0], bias=False)
        self.first_null = nn.Parameter(torch.zeros(hidden[0]))
        self.rest = nn.Sequential(nn.ReLU(inplace=True), *mlp([*hidden, 1]))

    def forward(self, state: Tensor, doc: Tensor) -> tuple[Tensor, Tensor]:
        """Return `q` [B, C] and `q_null` [B]."""
        mine = self.first_user(with_constant(state))[:, None]
        table = self._table() if is_index(doc) else None
        # With more candidates than topics, every topic's value is computed once.
        topics = table is not None and doc.shape[1] >= len(table)

        def value(doc: Tensor, mine: Tensor) -> Tensor:
            if table is None:
                first = torch.cat([self.first_doc(doc), self.first_null.expand(len(doc), 1, -1)], dim=1).add_(mine)
            elif topics:
                first = table + mine
            else:
                numbers = nn.functional.pad(doc.long(), (0, 1), value=len(table) - 1)
                first = nn.functional.embedding(numbers, table).add_(mine)
            return self._rest(first)

        width = (len(table) if table is not None and topics else doc.shape[1] + 1) * mine.shape[-1]
        q = _in_parts(value, width, doc, mine)
        return q.gather(1, doc.long()) if topics else q[:, :-1], q[:, -1]

    def one(self, state: Tensor, doc: Tensor, nothing: Tensor) -> Tensor:
        """Return `[B]`: each user's value of one document, `[B, F]` or `[B]`, or of the null if `nothing` [B]."""
        if is_index(doc):
            table = self._table()
            items = nn.functional.embedding(doc.long().masked_fill(nothing, len(table) - 1), table)
        else:
            items = self.first_null.where(nothing[:, None], self.first_doc(doc))
        return self._rest(items + self.first_user(with_constant(state)))

    def _table(self) -> Tensor:
        """Return every topic's row of the first layer, and the null's `[T + 1, H]`.

        Rows of a contiguous table are copied much faster than columns of a weight.
        """
        return torch.cat([self.first_doc.weight.T, self.first_null[None]])

    def _rest(self, hidden: Tensor) -> Tensor:
        return self.rest(hidden).squeeze(-1) * self.scale
