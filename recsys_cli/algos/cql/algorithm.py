"""CQL as an RLlib algorithm."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core.learner.learner import Learner
from ray.rllib.utils.annotations import override
from torch import Tensor

from recsys_cli.algos.offline_algorithm import OfflineAlgorithm
from recsys_cli.algos.slateq.algorithm import SlateQLearner, SlateQModule
from recsys_cli.networks.features import Observed
from recsys_cli.slates.optimal import of_shown, only, optimal_slates, shown, slate_values


class CQLLearner(SlateQLearner):
    """Adds to SlateQ's loss what slates are worth beyond the logged one (CQL(H), eq. 4)."""

    @override(Learner)
    def build(self) -> None:
        """Also make the random stream of slates."""
        super().build()
        self.draws = torch.Generator()

    @override(Learner)
    def before_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """Seed the slates by the number of gradient steps, so that a restored training draws the same."""
        super().before_gradient_based_update(timesteps=timesteps)
        entropy = np.random.SeedSequence([self.config.seed or 0, self.gradient_steps])
        self.draws.manual_seed(int(entropy.generate_state(1)[0]))

    @override(SlateQLearner)
    def compute_loss_for_module(
        self, *, module_id: str, config: AlgorithmConfig, batch: dict[str, Any], fwd_out: dict[str, Any]
    ) -> Tensor:
        """Add the penalty, in units of `algo.network.scale`."""
        loss = super().compute_loss_for_module(module_id=module_id, config=config, batch=batch, fwd_out=fwd_out)
        settings, net = config.settings, self.module[module_id].unwrapped().net
        observed, logged = net.observed_in(batch), batch["slate"][:, None, : net.attended]
        q, q_null = net.item_values(observed)
        with torch.no_grad():
            v, v_null = net.choice(observed)
            best, _ = optimal_slates(v, q, v_null, q_null, net.attended, observed.mask)
            others = [best[:, None], self.random_slates(observed, settings.random_slates, net.attended)]
        parts = only(v, observed.mask, 0.0), q, v_null, q_null
        among = values_of(*parts, torch.cat(others, dim=1)) / settings.temperature
        excess = settings.temperature * among.logsumexp(-1) - values_of(*parts, logged)[:, 0]
        return loss + settings.conservatism * excess.mean() / settings.network.scale

    def random_slates(self, observed: Observed, number: int, k: int) -> Tensor:
        """Return uniformly random slates, `[B, number, k]`."""
        rows, candidates = observed.doc.shape[:2]
        rank = torch.rand((rows, number, candidates), generator=self.draws).to(observed.doc.device)
        mask = None if observed.mask is None else observed.mask[:, None].expand(rank.shape)
        return shown(only(rank, mask).topk(k, dim=-1).indices, mask)


def values_of(v: Tensor, q: Tensor, v_null: Tensor, q_null: Tensor, slates: Tensor) -> Tensor:
    """Return the values `[B, M]` of slates `[B, M, k]`; the other arguments as for `optimal_slates`."""
    rows, number, k = slates.shape
    flat = slates.flatten(1)
    shown_v, shown_q = (of_shown(each, flat).view(rows * number, k) for each in (v, q))
    nulls = (each.repeat_interleave(number) for each in (v_null, q_null))
    return slate_values(shown_v, shown_q, *nulls).view(rows, number)


class CQL(OfflineAlgorithm):
    """Conservative Q-learning."""

    module_class = SlateQModule
    learner_class = CQLLearner
