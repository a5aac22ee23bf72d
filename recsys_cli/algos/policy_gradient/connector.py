"""From rollouts to a learner's batch: RLlib's learner connector for rollouts instead of episodes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.utils.annotations import override
from torch import Tensor

from recsys_cli.algos.policy_gradient.advantages import generalised_advantages, standardised
from recsys_cli.algos.policy_gradient.module import SlateActorCriticModule
from recsys_cli.rollouts.on_policy import Rollout


class RolloutConnector(ConnectorV2):
    """Turns the rollouts that a learner gets into its one batch, flat `[n, ..]`."""

    @override(ConnectorV2)
    def __call__(self, *, rl_module: Any, batch: dict[str, Any], episodes: Sequence[Rollout], **kwargs: Any) -> Any:
        """Return the columns by module, on the module's device."""
        module = rl_module[DEFAULT_MODULE_ID].unwrapped()
        with torch.no_grad():
            parts = [self.columns(module, rollout) for rollout in episodes]
            columns = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
            return {DEFAULT_MODULE_ID: self.finish(columns)}

    @abstractmethod
    def columns(self, module: SlateActorCriticModule, rollout: Rollout) -> dict[str, Tensor]:
        """Return one rollout's columns."""

    def finish(self, columns: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the joined columns as the loss wants them."""
        return columns


class AdvantageConnector(RolloutConnector):
    """The valid transitions, with advantages and value targets by the critic as it is before the update.

    `user` [n, U], `doc` [n, C, F] or [n, C], `actions` [n, k], `action_logp` [n] (when drawn), `action_dist_inputs`
    [n, C] (scores before the update), `advantages` [n] (standardised), `value_targets` [n], `clicked` [n].
    """

    def __init__(self, *, discount: float, gae_lambda: float) -> None:
        """Take the discount of one step and lambda of the generalised advantages."""
        super().__init__()
        self.discount, self.gae_lambda = discount, gae_lambda

    @override(RolloutConnector)
    def columns(self, module: SlateActorCriticModule, rollout: Rollout) -> dict[str, Tensor]:
        """Return one rollout's valid rows."""
        device = next(module.parameters()).device
        of = {name: torch.as_tensor(array, device=device) for name, array in rollout.arrays()}
        user = torch.cat([of["user"], of["last_user"][None]])
        doc = torch.cat([of["doc"], of["last_doc"][None]])
        values = module.critic(user.flatten(0, 1), doc.flatten(0, 1)).unflatten(0, user.shape[:2])
        advantages = generalised_advantages(
            values, of["reward"], of["terminated"], of["valid"], self.discount, self.gae_lambda
        )
        valid = of["valid"]
        columns = {name: of[name][valid] for name in ("user", "doc", "clicked")}
        return columns | {
            Columns.ACTIONS: of["slate"][valid].long(),
            Columns.ACTION_LOGP: of["log_propensity"][valid],
            Columns.ACTION_DIST_INPUTS: module.net.scores(columns["user"], columns["doc"]),
            Postprocessing.ADVANTAGES: advantages[valid],
            Postprocessing.VALUE_TARGETS: (values[:-1] + advantages)[valid],
        }

    @override(RolloutConnector)
    def finish(self, columns: dict[str, Tensor]) -> dict[str, Tensor]:
        """Standardise the advantages."""
        advantages = columns[Postprocessing.ADVANTAGES]
        return columns | {Postprocessing.ADVANTAGES: standardised(advantages)}
