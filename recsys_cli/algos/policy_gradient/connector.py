"""From rollouts to a learner's batch: RLlib's learner connector for rollouts instead of episodes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.utils.annotations import override
from torch import Tensor

from recsys_cli.algos.policy_gradient.advantages import generalised_advantages, standardised
from recsys_cli.algos.policy_gradient.module import SlateActorCriticModule
from recsys_cli.networks.features import Observed
from recsys_cli.rollouts.failure import played
from recsys_cli.rollouts.on_policy import Rollout


class RolloutConnector(ConnectorV2):
    """Turns the rollouts that a learner gets into its one batch, flat `[n, ..]`."""

    @override(ConnectorV2)
    def __call__(self, *, rl_module: Any, batch: dict[str, Any], episodes: Sequence[Rollout], **kwargs: Any) -> Any:
        """Return the columns by module, on the module's device.

        Raises:
            RuntimeError: a remote runner failed.
        """
        module = rl_module[DEFAULT_MODULE_ID].unwrapped()
        with torch.no_grad():
            parts = [self.columns(module, rollout) for rollout in played(episodes)]
            columns = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
            return {DEFAULT_MODULE_ID: self.finish(columns)}

    @abstractmethod
    def columns(self, module: SlateActorCriticModule, rollout: Rollout) -> dict[str, Tensor]:
        """Return one rollout's columns."""

    def finish(self, columns: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the joined columns as the loss wants them."""
        return columns


def tensors(module: SlateActorCriticModule, rollout: Rollout) -> dict[str, Tensor]:
    """Return a rollout's arrays on the module's device."""
    device = next(module.parameters()).device
    # Arrays out of Ray's object store cannot be written to, of which torch warns.
    arrays = {name: np.require(array, requirements="W") for name, array in rollout.arrays()}
    return {name: torch.as_tensor(array, device=device) for name, array in arrays.items()}


def observed_with_last(rollout: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what is `Observed` before the T steps and after the last, `[T + 1, N, ..]`, by name."""
    names = [name for name in Observed._fields if name in rollout]
    return {name: torch.cat([rollout[name], rollout[f"last_{name}"][None]]) for name in names}


def values_of(module: SlateActorCriticModule, observed: dict[str, Tensor]) -> Tensor:
    """Return the critic's values `[T + 1, N]` of what `observed_with_last` returned."""
    flat = {name: column.flatten(0, 1) for name, column in observed.items()}
    return module.critic(module.net.observed_in(flat)).unflatten(0, observed["user"].shape[:2])


class AdvantageConnector(RolloutConnector):
    """The valid transitions, with advantages and value targets by the critic as it is before the update.

    What is `Observed`, `actions` [n, k], `action_logp` [n] (when drawn), `action_dist_inputs` [n, C] (scores before the
    update), `advantages` [n] (standardised), `value_targets` [n], `clicked` [n].
    """

    def __init__(self, *, discount: float, gae_lambda: float) -> None:
        """Take the discount of one step and lambda of the generalised advantages."""
        super().__init__()
        self.discount, self.gae_lambda = discount, gae_lambda

    @override(RolloutConnector)
    def columns(self, module: SlateActorCriticModule, rollout: Rollout) -> dict[str, Tensor]:
        """Return one rollout's valid rows."""
        of = tensors(module, rollout)
        observed = observed_with_last(of)
        values = values_of(module, observed)
        advantages = generalised_advantages(
            values, of["reward"], of["terminated"], of["valid"], self.discount, self.gae_lambda
        )
        valid = of["valid"]
        columns = {name: of[name][valid] for name in (*observed, "clicked")}
        return columns | {
            Columns.ACTIONS: of["slate"][valid].long(),
            Columns.ACTION_LOGP: of["log_propensity"][valid],
            Columns.ACTION_DIST_INPUTS: module.net.scores(module.net.observed_in(columns)),
            Postprocessing.ADVANTAGES: advantages[valid],
            Postprocessing.VALUE_TARGETS: (values[:-1] + advantages)[valid],
        }

    @override(RolloutConnector)
    def finish(self, columns: dict[str, Tensor]) -> dict[str, Tensor]:
        """Standardise the advantages."""
        advantages = columns[Postprocessing.ADVANTAGES]
        return columns | {Postprocessing.ADVANTAGES: standardised(advantages)}


class TrajectoryConnector(RolloutConnector):
    """Whole trajectories, user by user, as the losses with V-trace take them: T + 1 rows each `[N * (T + 1), ..]`.

    Rows used only for bootstrapping are masked out: the last, and those in which a new episode began, which hold the
    last observation of the previous one. Their values are computed once per update, by the critic before it: RLlib's
    losses recompute targets at every gradient step, and if no session has ended yet, a critic that follows its own
    newest values drifts by the sum of a trajectory's rewards per gradient step instead of per round.
    """

    @override(RolloutConnector)
    def columns(self, module: SlateActorCriticModule, rollout: Rollout) -> dict[str, Tensor]:
        """Return one rollout's rows."""
        of = tensors(module, rollout)
        learned = one_more(of["valid"], False)
        observed = observed_with_last(of)
        columns = {
            **observed,
            Columns.VF_PREDS: values_of(module, observed),
            Columns.ACTIONS: possible(torch.cat([of["slate"], of["slate"][-1:]]).long(), learned, observed.get("mask")),
            Columns.ACTION_LOGP: one_more(of["log_propensity"], 0.0).masked_fill(~learned, NEVER_SHOWN),
            Columns.REWARDS: one_more(of["reward"], 0.0) * learned,
            Columns.TERMINATEDS: one_more(of["terminated"], False),
            Columns.LOSS_MASK: learned,
        }
        return {name: column.transpose(0, 1).flatten(0, 1) for name, column in columns.items()}


# Log-propensity of rows that are only bootstrapped from: their importance weights vanish, so that V-trace takes the
# critic's value there. RLlib's own batches have the last slate's there, and V-trace then takes 0 for the value.
NEVER_SHOWN = 80.0


def possible(slates: Tensor, learned: Tensor, mask: Tensor | None) -> Tensor:
    """Return slates `[T, N, k]` that the candidates there are allow, also in rows that are not learned from.

    The loss multiplies those rows' log-probabilities by 0, which makes NaN of the -inf of an impossible slate.

    Args:
        slates: as shown, -1 where there were too few candidates.
        learned: the rows learned from `[T, N]`.
        mask: the candidates that are there `[T, N, C]`; None: all.
    """
    if mask is None:
        return slates
    first = (~mask.bool()).to(torch.uint8).argsort(dim=-1, stable=True)[..., : slates.shape[-1]]
    first = first.masked_fill(~mask.bool().gather(-1, first), -1)
    return torch.where(learned[..., None], slates, first)


def one_more(column: Tensor, value: float) -> Tensor:
    """Return `[T, N]` with one more row that holds `value`."""
    return torch.cat([column, torch.full_like(column[:1], value)])
