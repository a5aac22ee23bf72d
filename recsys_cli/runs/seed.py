"""The training of one seed: train, evaluate, checkpoint, report; and repeat an earlier session's reports."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from recsys_cli.algos.training import Training
from recsys_cli.config.schema import TrainConfig
from recsys_cli.files import read_jsonl
from recsys_cli.runs.folder import Checkpoints, started_from
from recsys_cli.tracking.bundle import TRAINING_STATE
from recsys_cli.tracking.folder import JOURNAL


@dataclass(frozen=True)
class Report:
    """A report of a seed's training to the driver, in plain values.

    Attributes:
        folder: the seed's.
        steps: so far.
        metrics: since the last report.
        checkpoint: folder of one just written.
        best: whether the greedy return is the best so far.
        resumed_from: steps of the checkpoint that this process started from.
        finished: whether nothing is left to train.
        repeated: whether the journal already has this report, from an earlier session.
    """

    folder: str
    steps: int
    metrics: dict[str, float]
    checkpoint: str | None
    best: bool
    resumed_from: int
    finished: bool
    repeated: bool


class SeedTraining:
    """Drives a `Training` to `steps`, from its folder's last checkpoint if there is one.

    Args:
        run: resolved.
        seed: its number.
        folder: its folder in the run's.
        repeat: first repeat the journal's reports up to the last checkpoint, without training, so that a new scheduler
            learns what its predecessor knew.
    """

    def __init__(self, run: TrainConfig, seed: int, folder: Path, *, repeat: bool = False) -> None:
        """Read the folder; the training is built when first needed."""
        self.run, self.seed, self.folder = run, seed, folder
        self.checkpoints = Checkpoints.of(folder, run)
        self.metrics = self.checkpoints.metrics()
        self.train_seconds = self.metrics.get("time/train_cpu_s", 0.0)
        last = self.checkpoints.pointed("last")
        self.saved_at = self.evaluated_at = self.resumed_from = last["steps"] if last else 0
        rows = read_jsonl(folder / JOURNAL) if repeat and last else []
        self.known = deque(row for row in rows if row["steps"] <= self.saved_at)
        self.reported_at = 0
        self._training: Training | None = None
        self._failed = False

    @property
    def training(self) -> Training:
        """The training, built and restored from the last checkpoint at the first call."""
        return self._training or self._build(self.checkpoints.path("last"))

    def _build(self, checkpoint: Path | None) -> Training:
        self._training = self._training or self.run.learner.make_training(self.run, self.seed)
        if checkpoint is not None:
            self._training.restore(checkpoint / TRAINING_STATE)
        elif (start := started_from(self.folder.parent)) is not None:
            self._training.start_from(start.tensors)
        return self._training

    @property
    def steps(self) -> int:
        """Steps trained so far."""
        return self.saved_at if self._training is None else self._training.steps

    @property
    def finished(self) -> bool:
        """Whether nothing is left to train."""
        return self._is_end(self.steps)

    def _is_end(self, steps: int) -> bool:
        settled = self._training is not None and self._training.settled
        return (
            settled
            or self._stalled(steps)
            or not self.run.learner.trains_on(self.run.env.spec)
            or steps >= self.run.steps
        )

    def _stalled(self, steps: int) -> bool:
        """Whether so many evaluations have passed without a better one that training is to end."""
        settings, best = self.run.evaluation, self.checkpoints.pointed("best")
        if settings.patience is None or not settings.every or best is None:
            return False
        return steps // settings.every - best["steps"] // settings.every >= settings.patience

    def report(self) -> Report:
        """Return the next report: an earlier session's, or from training."""
        try:
            return self._next_report()
        except Exception:
            self._failed = True
            raise

    def _next_report(self) -> Report:
        if self.known:
            row = self.known.popleft()
            return self._report(row["steps"], row["metrics"], repeated=True)
        self.metrics = metrics = {} if self.finished else self._train()
        judged = self._due(self.run.evaluation.every, self.evaluated_at)
        if self.run.data is not None and self.finished:  # perhaps after fewer steps than expected
            judged = self.steps > self.evaluated_at
        best_return = self._evaluate(metrics) if judged else None
        due = self.finished or best_return is not None or self._due(self.run.checkpoint.every, self.saved_at)
        written = self._checkpoint(best_return) if due and self._unsaved else None
        return self._report(self.steps, metrics, checkpoint=written, best=best_return is not None)

    def _report(
        self,
        steps: int,
        metrics: dict[str, float],
        *,
        checkpoint: Path | None = None,
        best: bool = False,
        repeated: bool = False,
    ) -> Report:
        self.reported_at = steps
        written = str(checkpoint) if checkpoint else None
        end = self._is_end(steps)
        return Report(str(self.folder), steps, metrics, written, best, self.resumed_from, end, repeated)

    @property
    def _unsaved(self) -> bool:
        return self.steps > self.saved_at or self.checkpoints.path("last") is None

    def _due(self, every: int, last: int) -> bool:
        """Whether a multiple of `every` was passed since `last`."""
        return every > 0 and self.steps // every > last // every

    def _train(self) -> dict[str, float]:
        training = self.training
        before, began = training.steps, time.process_time()
        clock = time.perf_counter()
        metrics = training.step()
        self.train_seconds += time.process_time() - began
        speed = (training.steps - before) / max(time.perf_counter() - clock, 1e-9)
        return {**metrics, "time/steps_per_s": speed, "time/train_cpu_s": self.train_seconds}

    def _evaluate(self, metrics: dict[str, float]) -> float | None:
        """Add greedy episodes' means to the metrics, or estimates from a log; return the return if it is the best."""
        self.evaluated_at = self.steps
        settings = self.run.evaluation
        metrics |= self.training.estimate()
        if self.run.env.simulator is not None:
            # Other users each time, and never those of the final evaluation.
            means = self.training.evaluate(settings.episodes, settings.seed + 1 + self.steps)
            metrics |= {f"eval/{name}": value for name, value in means.items()}
        # What learns from a log never chooses by a simulator.
        score = metrics.get("eval/return" if self.run.data is None else "ope/return")
        best = self.checkpoints.pointed("best")
        return score if score is not None and (best is None or score > best["return"]) else None

    def _checkpoint(self, best_return: float | None) -> Path:
        path = self.checkpoints.write(self.training, self.run, self.seed, metrics=self.metrics, best_return=best_return)
        self.saved_at = self.steps
        return path

    def save(self) -> Path:
        """Return the checkpoint of the last report, written if there is none yet.

        While an earlier session's reports are repeated, it may be long deleted; a scheduler then copies it only into
        seeds that have since continued from their copy.
        """
        if self._training is None:
            return self.checkpoints.at(self.reported_at)
        if self._unsaved:
            self._checkpoint(None)
        return self.checkpoints.at(self.saved_at)

    def go_on_from(self, checkpoint: Path, steps: int, unit: int) -> None:
        """Continue from its own checkpoint, or from that of another seed to copy.

        Args:
            checkpoint: what `save` returned.
            steps: reported when it was written.
            unit: steps between reports.
        """
        while self.known and self.known[0]["steps"] // unit <= steps // unit:
            self.known.popleft()
        if checkpoint.is_relative_to(self.folder) or self.known:
            return  # its own last one is the same, or continues the copy
        self._build(checkpoint)
        self.evaluated_at = self.steps
        self._checkpoint(None)

    def stop(self) -> None:
        """Write a last checkpoint if training was stopped early, but not of what an error left; end the processes."""
        if self._training is not None:
            if self._unsaved and self.steps > 0 and not self._failed:
                self._checkpoint(None)
            self._training.stop()
