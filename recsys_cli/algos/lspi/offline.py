"""LSPI from a data set: passes over its parts, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from recsys_cli.algos.held_out import HeldOut
from recsys_cli.algos.local_training import LocalTraining
from recsys_cli.algos.lspi.iteration import Columns, Iteration
from recsys_cli.config.notices import warn

if TYPE_CHECKING:
    from recsys_cli.algos.lspi.config import LSPIConfig
    from recsys_cli.config.schema import TrainConfig
    from recsys_cli.offline.problem import LoggedProblem
    from recsys_cli.policies.lspi import LSPIPolicy

PART_ROWS = 65_536
KEPT_ROWS = 300_000  # a log of at most so many rows is read once and kept


class OfflineLSPI(LocalTraining):
    """Reads the training episodes once to evaluate what was shown, and once for each round of improvement.

    A report is due after each pass. The rows used count as `steps` while they are first read; the last one counts when
    the iteration is over.
    """

    def __init__(self, settings: LSPIConfig, run: TrainConfig, seed: int) -> None:
        """Open the data set.

        Args:
            settings: of the algorithm.
            run: the problem of the log, and how many rows are used.
            seed: of random features.
        """
        self._env, self._limit = run.env, run.steps
        spec = run.env.spec
        self._policy, self._design = settings.make_policy(spec, seed), settings.design(spec)
        self._iteration = Iteration(self._policy, self._design)
        self._held_out = HeldOut(run.env.dataset)
        self._kept: list[Columns] | None = None
        self._rows, self._settled = 0, False

    @classmethod
    def of_run(cls, settings: LSPIConfig, run: TrainConfig, seed: int) -> OfflineLSPI:
        """Build a training from a run's data set with these settings."""
        return cls(settings, run, seed)

    @property
    def steps(self) -> int:
        """Rows used so far, the last one only when all is done."""
        return self._rows if self._settled else min(self._rows, self._limit - 1)

    @property
    def env(self) -> LoggedProblem:
        """The problem of the log."""
        return self._env

    @property
    def settled(self) -> bool:
        """Whether the iteration is over."""
        return self._settled

    def _transitions(self) -> Iterator[Columns]:
        """Yield the transitions of the training episodes, up to the limit, in parts of whole episodes."""
        if self._kept is not None:
            yield from self._kept
            return
        rows, parts = 0, list[Columns]()
        for batch in self._held_out.training_batches(min(PART_ROWS, self._limit)):
            columns = batch.remembering(self._policy.new_memory).transitions(self._design.discount)
            rows += len(columns["reward"])
            parts = [*parts, columns] if rows <= KEPT_ROWS else []
            if len(columns["reward"]):
                yield columns
            if rows >= self._limit:
                break
        if rows <= KEPT_ROWS:
            self._kept = parts

    def step(self) -> dict[str, float]:
        """Make one pass over the log: evaluate what it shows, or improve on the last pass."""
        iteration = self._iteration
        if not self._rows:
            self._rows = iteration.evaluate(self._transitions())
        else:
            iteration.improve(self._transitions())
        values = {}
        if iteration.over:
            values, self._settled = iteration.errors(self._transitions()), True
            for line in iteration.doubts():
                warn(line)
        return {**iteration.metrics(), **values}

    def policy(self) -> LSPIPolicy:
        """Return the policy, which keeps learning."""
        return self._policy

    def estimate(self) -> dict[str, float]:
        """See `Training.estimate`."""
        return self._held_out.estimate(self._policy)

    def start_from(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        """See `Training.start_from`; the values are those of the log alone."""
        super().start_from(tensors)
        self._policy.keeps_basis = True

    def get_state(self) -> dict[str, Any]:
        """Return counters, choices made and what was learned; the sums are recomputed from the log."""
        own = {"rows": self._rows, "settled": self._settled}
        return {**own, "iteration": self._iteration.get_state(), "policy": self._policy.tensors()}

    def set_state(self, state: dict[str, Any]) -> None:
        """See `LocalTraining.set_state`."""
        self._rows, self._settled = state["rows"], state["settled"]
        self._policy.load_tensors(state["policy"])
        self._iteration.set_state(state["iteration"])

    def stop(self) -> None:
        """Forget the log."""
        self._kept = None
