"""The loss shared by Q-learning algorithms, and the target network."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.learner import Learner
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.utils.annotations import override
from ray.rllib.utils.metrics import TD_ERROR_KEY
from torch import Tensor

from recsys_cli.algos.minibatch_learner import MinibatchLearner
from recsys_cli.policies.memory import TOTALS

REPLAY_INDEX = "replay_index"


class QLearner(MinibatchLearner):
    """Fits the values from a module's `_forward_train` to the temporal-difference targets."""

    @override(Learner)
    def build(self) -> None:
        """Build the module and, after its online network is in place, the target network."""
        super().build()
        self.errors: list[tuple[Tensor, Tensor]] = []  # of an update, for prioritised replay: index and error
        module = self.module[DEFAULT_MODULE_ID].unwrapped()
        module.make_target()
        self.target_pairs = list(module.target_values.parameters()), list(module.critic.values.parameters())

    @override(MinibatchLearner)
    def _update(self, batch: dict[str, Any], **kwargs: Any) -> tuple[Any, Any, Any]:
        """Learn the limit of sessions, then from the batch.

        Keeps the errors for the replay buffer if it needs them (`QLearning._learn` takes them out again).
        """
        self.learn_limit(batch[DEFAULT_MODULE_ID])
        results = super()._update(batch, **kwargs)
        if self.errors:
            for key, column in zip((REPLAY_INDEX, TD_ERROR_KEY), zip(*self.errors, strict=True), strict=True):
                self.metrics.log_value((DEFAULT_MODULE_ID, key), torch.cat(column), reduce="item_series")
            self.errors.clear()
        return results

    def learn_limit(self, columns: dict[str, Tensor]) -> None:
        """Show the network the totals at which sessions ended."""
        limit = self.module[DEFAULT_MODULE_ID].unwrapped().critic.limit
        if limit is not None:  # a session's last step is not bootstrapped
            limit.learn(columns["next_memory"][columns["bootstrap"] == 0, :TOTALS])

    @override(MinibatchLearner)
    def after_gradient_step(self, minibatch: dict[str, Tensor], outputs: dict[str, Tensor]) -> None:
        """Move the target network."""
        self.update_target()
        if REPLAY_INDEX in minibatch:
            self.errors.append((minibatch[REPLAY_INDEX], outputs["error"].clone()))

    @override(TorchLearner)
    def compute_loss_for_module(
        self, *, module_id: str, config: AlgorithmConfig, batch: dict[str, Any], fwd_out: dict[str, Any]
    ) -> Tensor:
        """Return the temporal-difference loss of `fwd_out["q"]` [B], in units of `algo.network.scale`.

        The target is `reward + bootstrap * next_values`. Rows excluded by `fwd_out["learned"]` (bool [B], optional)
        have no target. Puts targets and, in the same units as the loss, errors into `fwd_out` as `target` and `error`
        [B].
        """
        with torch.no_grad():
            fwd_out["target"] = batch["reward"] + batch["bootstrap"] * self.next_values(module_id, batch)
        loss, fwd_out["error"] = self.fit(fwd_out["q"], fwd_out["target"], batch, fwd_out.get("learned"))
        return loss

    def fit(self, q: Tensor, target: Tensor, batch: dict[str, Any], learned: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the loss of predictions `[B]` of `learned` rows (None: all), and their errors `[B]`."""
        settings = self.config.settings
        error = (q - target) / settings.network.scale
        if learned is not None:
            error = error * learned
        each = error.square() if settings.loss == "squared" else huber(error, 1 / settings.network.scale)
        if REPLAY_INDEX in batch:
            each = each * batch["weight"]
        return each.mean() if learned is None else each.sum() / learned.sum().clamp_min(1), error

    @abstractmethod
    def next_values(self, module_id: str, batch: dict[str, Any]) -> Tensor:
        """Return the value `[B]` of the next state; called without gradient."""

    def update_target(self) -> None:
        """Move the target network after a gradient step."""
        settings = self.config.settings
        polyak = settings.target_update == "polyak"
        if not polyak and self.gradient_steps % settings.target_period:
            return
        with torch.no_grad():
            if polyak:
                torch._foreach_lerp_(*self.target_pairs, settings.target_tau)
            else:
                torch._foreach_copy_(*self.target_pairs)


def huber(error: Tensor, delta: float) -> Tensor:
    """Return the square of errors up to `delta`, and a straight line beyond."""
    return 2 * torch.nn.functional.huber_loss(error, torch.zeros_like(error), reduction="none", delta=delta)
