"""One training as a Tune trial: train, evaluate, checkpoint, report."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ray.tune import Trainable

from recsys_cli.algos.training import Training
from recsys_cli.config.schema import TrainConfig
from recsys_cli.tracking.bundle import TRAINING_STATE
from recsys_cli.tuning.folder import Checkpoints


class TrainingTrial(Trainable):
    """Drives a `Training` to `env_steps`; goes on from the trial folder's last checkpoint where there is one.

    Tune's config holds `run` (the resolved config as plain values), `seed` and `trial_dir`. Checkpoints are written
    here and not by Tune, so that one stands whole on disk, under its final name, the moment `last.json` names it.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Build the training and restore it."""
        self.run = TrainConfig.from_dict(config["run"])
        self.seed, trial_dir = int(config["seed"]), Path(config["trial_dir"])
        self.checkpoints = Checkpoints(trial_dir / "checkpoints", self.run.checkpoint.keep)
        self.metrics = self.checkpoints.metrics()
        self.train_seconds = self.metrics.get("time/train_cpu_s", 0.0)
        self.saved_at = self.evaluated_at = 0
        self.training: Training = self.run.algo.make_training(self.run, self.seed)
        last = self.checkpoints.path("last")
        if last is not None:
            self.training.restore(last / TRAINING_STATE)
            self.saved_at = self.evaluated_at = self.training.env_steps
        self.saved_at_start = self.saved_at

    @property
    def finished(self) -> bool:
        """Whether nothing is left to train."""
        return not self.run.algo.trains_on(self.run.env) or self.training.env_steps >= self.run.env_steps

    def step(self) -> dict[str, Any]:
        """Train to the next report, evaluate and checkpoint where due."""
        self.metrics = metrics = {} if self.finished else self._train()
        best_return = self._evaluate(metrics) if self._due(self.run.evaluation.every, self.evaluated_at) else None
        due = self.finished or best_return is not None or self._due(self.run.checkpoint.every, self.saved_at)
        written = self._checkpoint(best_return) if due and self._unsaved else None
        return {
            "env_steps": self.training.env_steps,
            "metrics": metrics,
            "checkpoint": str(written) if written else None,
            "best": best_return is not None,
            "resumed_from": self.saved_at_start,
            "finished": self.finished,
            "done": self.finished,  # Tune's own, which it also sets where it stops a trial
        }

    @property
    def _unsaved(self) -> bool:
        return self.training.env_steps > self.saved_at or self.checkpoints.path("last") is None

    def _due(self, every: int, last: int) -> bool:
        """Whether a multiple of `every` was passed since `last`."""
        return every > 0 and self.training.env_steps // every > last // every

    def _train(self) -> dict[str, float]:
        before, began = self.training.env_steps, time.process_time()
        clock = time.perf_counter()
        metrics = self.training.step()
        self.train_seconds += time.process_time() - began
        speed = (self.training.env_steps - before) / max(time.perf_counter() - clock, 1e-9)
        return {**metrics, "time/env_steps_per_s": speed, "time/train_cpu_s": self.train_seconds}

    def _evaluate(self, metrics: dict[str, float]) -> float | None:
        """Add greedy episodes' means to the metrics; return their return where it is the best so far."""
        self.evaluated_at = self.training.env_steps
        settings = self.run.evaluation
        # Other users each time, and never those of the final evaluation.
        means = self.training.evaluate(settings.episodes, settings.seed + 1 + self.training.env_steps)
        metrics |= {f"eval/{name}": value for name, value in means.items()}
        best = self.checkpoints.pointed("best")
        return means["return"] if best is None or means["return"] > best["return"] else None

    def _checkpoint(self, best_return: float | None) -> Path:
        path = self.checkpoints.write(self.training, self.run, self.seed, metrics=self.metrics, best_return=best_return)
        self.saved_at = self.training.env_steps
        return path

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Save for Tune's own use (population-based training)."""
        self.training.save(Path(checkpoint_dir) / TRAINING_STATE)

    def load_checkpoint(self, checkpoint: str) -> None:
        """Restore what `save_checkpoint` wrote."""
        self.training.restore(Path(checkpoint) / TRAINING_STATE)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """End this trial and begin the next one in the same process."""
        self.cleanup()
        self.setup(new_config)
        return True

    def cleanup(self) -> None:
        """Write a last checkpoint where training was stopped early, and end the processes."""
        if self._unsaved and self.training.env_steps > 0:
            self._checkpoint(None)
        self.training.stop()
