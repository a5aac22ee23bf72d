"""RLlib's DQN learner on transitions from our replay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from ray.rllib.algorithms.dqn.torch.dqn_torch_learner import DQNTorchLearner
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.learner import Learner
from ray.rllib.utils.annotations import override
from torch import Tensor

from recsys_cli.algos.optimizers import AdamLearner
from recsys_cli.rollouts.sampled import Sample


class SampleConnector(ConnectorV2):
    """Turns a learner's sample into its batch.

    It has the columns of `ReplayBuffer.sample`, and those read by the losses of RLlib's DQN and SAC. These bootstrap by
    `gamma ** n_step * (1 - terminated)`; the buffer knows the whole factor, also if an episode ends within n steps, so
    `n_step` is 0 and `terminated` is 1 minus that factor: a discount ends an episode with some probability.
    """

    @override(ConnectorV2)
    def __call__(self, *, rl_module: Any, batch: dict[str, Any], episodes: Sequence[Sample], **kwargs: Any) -> Any:
        """Return the columns by module, on the module's device."""
        module = rl_module[DEFAULT_MODULE_ID].unwrapped()
        device = next(module.parameters()).device
        (sample,) = episodes
        columns = {name: torch.as_tensor(column, device=device) for name, column in sample.columns.items()}
        return {DEFAULT_MODULE_ID: columns | self.read_by_losses(module, columns)}

    def read_by_losses(self, module: Any, columns: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return RLlib's columns; the shown slate is action 0, for modules that value only that."""
        reward = columns["reward"]
        return {
            Columns.ACTIONS: torch.zeros(len(reward), dtype=torch.int64, device=reward.device),
            Columns.REWARDS: reward,
            Columns.TERMINATEDS: 1 - columns["bootstrap"],
            "n_step": torch.zeros_like(reward),
            "weights": torch.ones_like(reward),
        }


class SampleLearner(Learner):
    """Mixes with the learners of RLlib's DQN and its derivatives."""

    connector: type[SampleConnector] = SampleConnector

    @override(Learner)
    def build(self) -> None:
        """Build as RLlib does, without its connectors, which make batches from episodes."""
        super().build()
        self._learner_connector = self.connector()


class SlateDQNLearner(SampleLearner, AdamLearner, DQNTorchLearner):
    """The loss is RLlib's."""
