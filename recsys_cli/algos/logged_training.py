"""Training from a data set of what learns in closed form: every row once. Needs no Ray."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_cli.algos.held_out import HeldOut
from recsys_cli.algos.local_training import LocalTraining
from recsys_cli.offline.steps import Steps

if TYPE_CHECKING:
    from recsys_cli.algos.base import AlgoConfig
    from recsys_cli.config.schema import TrainConfig
    from recsys_cli.offline.problem import LoggedProblem


class LoggedTraining(LocalTraining):
    """Passes the data set's training episodes to `policy.learn` in the order logged, with the policy's own memory."""

    def __init__(self, policy: Any, run: TrainConfig) -> None:
        """Open the data set.

        Args:
            policy: to be trained; has `learn`.
            run: the problem of the log, and the rows per report.
        """
        self._policy, self._env, self._report_every = policy, run.env, run.report_every
        self._held_out = HeldOut(run.env.dataset)
        self._rows, self._whole = 0, False
        self._parts = self._batches()

    @classmethod
    def of_run(cls, settings: AlgoConfig, run: TrainConfig, seed: int) -> LoggedTraining:
        """Build a training from a run's data set with these settings."""
        return cls(settings.make_policy(run.env.spec, seed), run)

    def _batches(self) -> Iterator[Steps]:
        return self._held_out.training_batches(self._report_every)

    @property
    def steps(self) -> int:
        """Rows learned from so far."""
        return self._rows

    @property
    def env(self) -> LoggedProblem:
        """The problem of the log."""
        return self._env

    @property
    def settled(self) -> bool:
        """Whether every row was used."""
        return self._whole

    def step(self) -> dict[str, float]:
        """Learn from about `report_every` rows."""
        batch = next(self._parts, None)
        if batch is None:
            self._whole = True
            return {}
        columns = batch.remembering(self._policy.new_memory).transitions()
        self._rows += len(columns["reward"])
        error = self._policy.learn(columns)
        return {} if error is None or not np.isfinite(error) else {"learner/loss": float(error)}

    def policy(self) -> Any:
        """Return the policy, which keeps learning."""
        return self._policy

    def estimate(self) -> dict[str, float]:
        """See `Training.estimate`."""
        return self._held_out.estimate(self._policy)

    def get_state(self) -> dict[str, Any]:
        """Return counters and what was learned."""
        learning = self._policy.get_state() if hasattr(self._policy, "get_state") else {}
        return {"rows": self._rows, "policy": self._policy.tensors(), "learning": learning}

    def set_state(self, state: dict[str, Any]) -> None:
        """See `LocalTraining.set_state`; goes on behind the rows already used."""
        self._policy.load_tensors(state["policy"])
        if state["learning"]:
            self._policy.set_state(state["learning"])
        self._rows, passed = state["rows"], 0
        self._parts = self._batches()
        while passed < self._rows and (batch := next(self._parts, None)) is not None:
            passed += len(batch.transitions()["reward"])

    def stop(self) -> None:
        """Nothing is held."""
