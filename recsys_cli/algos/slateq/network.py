"""SlateQ's network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from recsys_cli.algos.q_learning.network import QNetwork
from recsys_cli.networks.choice import choice_model
from recsys_cli.networks.features import Observed
from recsys_cli.policies.memory import TOTALS
from recsys_cli.slates.optimisers import OPTIMISERS, Parts, slate_scores, whole_slates

if TYPE_CHECKING:
    from recsys_cli.algos.itemwise.config import ItemwiseConfig
    from recsys_cli.algos.slateq.config import SlateQConfig
    from recsys_cli.envs.spec import ProblemSpec
    from recsys_cli.networks.item_values import Concat, TwoTower


class SlateQNetwork(QNetwork):
    """Item values, the null's value, and choice scores: the parts of a slate's value."""

    values: TwoTower | Concat

    def __init__(self, settings: SlateQConfig | ItemwiseConfig, spec: ProblemSpec) -> None:
        """Build the networks for a problem's feature sizes; the number of candidates is free."""
        super().__init__(settings, spec)
        net, sizes = settings.network, (self.state_features, spec.documents)
        self.values = net.build(*sizes, net.scale)
        self.choice = choice_model(settings.choice_model, spec.choice, *sizes)
        self.learned_null = settings.null_value == "learned"
        self.serving = OPTIMISERS[settings.serving]

    def item_values(self, observed: Observed, values: nn.Module | None = None) -> tuple[Tensor, Tensor]:
        """Return `q` [B, C] and `q_null` [B], which is 0 in the paper's variant (`null_value=zero`).

        By `self.values`, or others of their kind.
        """
        q, q_null = (self.values if values is None else values)(observed.state, observed.doc)
        return q, q_null if self.learned_null else torch.zeros_like(q_null)

    def recalled(self, columns: dict[str, Tensor], n_step: int) -> dict[str, Tensor]:
        """Return a batch's columns with the beliefs of now before its steps and after `n_step` in the memories.

        As they are if the memory has no belief.
        """
        if self.filter is None:
            return columns
        evidence, counted = columns["evidence"], columns["counted"]
        before = self.filter(columns["belief"], evidence[:, :-n_step], counted[:, :-n_step])
        after = self.filter(before, evidence[:, -n_step:], counted[:, -n_step:])
        beliefs = {"memory": before, "next_memory": after}
        now = {name: torch.cat([columns[name][:, :TOTALS], belief], dim=-1) for name, belief in beliefs.items()}
        return {**columns, **now}

    def drawn_slates(self, observed: Observed, rng: np.random.Generator) -> Tensor:
        """See `DrawingNetwork`."""
        assert self.posterior is not None
        parts = self._parts(observed, self.posterior.draw(self.values, rng))
        return whole_slates(*parts, self.slate_size, self.attended, self.serving, observed.mask)

    def slates(self, observed: Observed) -> Tensor:
        """Return whole slates `[B, k]`: the best one, filled up by value if the user looks at fewer than k."""
        return whole_slates(*self._parts(observed), self.slate_size, self.attended, self.serving, observed.mask)

    def scores(self, observed: Observed) -> Tensor:
        """Return scores `[B, C]`, of which the greatest, falling, are the best slate; in the unit of rewards."""
        v, q, v_null, q_null = (part.double() for part in self._parts(observed))
        return slate_scores((v, q, v_null, q_null), self.slates(observed), self.attended, observed.mask)

    def _parts(self, observed: Observed, values: nn.Module | None = None) -> Parts:
        (v, v_null), (q, q_null) = self.choice(observed), self.item_values(observed, values)
        return v, q, v_null, q_null
