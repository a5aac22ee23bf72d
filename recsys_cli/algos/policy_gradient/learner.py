"""Additions to RLlib's learners: repeatable updates, cheap minibatches, and state that RLlib does not keep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.learner import Learner
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.annotations import override
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME

from recsys_cli.algos.finite_learner import FiniteLearner
from recsys_cli.algos.optimizers import AdamLearner

KL_COEFFICIENTS, TARGET_UPDATES = "kl_coefficients", "target_updates"


class SlateLearner(FiniteLearner, AdamLearner):
    """Mixes with the learners of RLlib's policy gradients, whose losses stay as they are."""

    @override(Learner)
    def before_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """Set what an update depends on besides weights and batch, so that a restored training updates alike.

        Its random numbers come from the seed and the update's number alone; the entropy coefficient, whose schedule
        RLlib would restart, from the env steps.
        """
        super().before_gradient_based_update(timesteps=timesteps)
        entropy = np.random.SeedSequence([self.config.seed or 0, self._weights_seq_no])
        self.module[DEFAULT_MODULE_ID].unwrapped().draws.manual_seed(int(entropy.generate_state(1)[0]))
        schedule = self.entropy_coeff_schedulers_per_module[DEFAULT_MODULE_ID]
        schedule.update(timestep=timesteps.get(NUM_ENV_STEPS_SAMPLED_LIFETIME, 0))

    @override(Learner)
    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Add the adaptive coefficients of the KL penalty, and when the target network was updated last."""
        coefficients = {mid: value.item() for mid, value in getattr(self, "curr_kl_coeffs_per_module", {}).items()}
        updates = dict(getattr(self, "_last_update_ts_by_mid", {}))
        return {**super().get_state(*args, **kwargs), KL_COEFFICIENTS: coefficients, TARGET_UPDATES: updates}

    @override(Learner)
    def set_state(self, state: dict[str, Any]) -> None:
        """Restore the state."""
        super().set_state(state)
        for mid, value in state.get(KL_COEFFICIENTS, {}).items():
            self.curr_kl_coeffs_per_module[mid].data.fill_(value)
        if updates := state.get(TARGET_UPDATES):
            self._last_update_ts_by_mid.update(updates)

    def rows_together(self) -> int:
        """Return the number of consecutive rows that a minibatch must keep together."""
        return 1

    @override(Learner)
    def _create_iterator_if_necessary(
        self, *, training_data: TrainingData, num_total_minibatches: int = 0, **kwargs: Any
    ) -> Iterator[MultiAgentBatch]:
        """Yield minibatches: every epoch goes once through the batch, in a new order, in parts of one size.

        `num_total_minibatches`, if given, gives all learners the same number.
        """
        batch = self._make_batch_if_necessary(training_data=training_data)[DEFAULT_MODULE_ID]
        settings, together = self.config.settings, torch.arange(self.rows_together())
        draws = self.module[DEFAULT_MODULE_ID].unwrapped().draws
        units = len(batch) // len(together)
        size = settings.minibatch_size / max(self.config.num_learners, 1)
        an_epoch = min(max(round(len(batch) / size), 1), units)
        for number in range(num_total_minibatches or settings.epochs * an_epoch):
            if number % an_epoch == 0:
                parts = torch.randperm(units, generator=draws).tensor_split(an_epoch)
            rows = (parts[number % an_epoch][:, None] * len(together) + together).flatten()
            rows = rows.to(self.device)  # once, not for every column
            columns = SampleBatch({name: column[rows] for name, column in batch.items()})
            yield MultiAgentBatch({DEFAULT_MODULE_ID: columns}, len(rows))
