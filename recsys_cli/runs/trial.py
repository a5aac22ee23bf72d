"""A trial of Ray Tune: one seed, or several seeds of a point in lock-step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ray.tune import Trainable

from recsys_cli.config.compose import merge_changes
from recsys_cli.config.schema import TrainConfig
from recsys_cli.evaluation.statistics import joint_score
from recsys_cli.files import read_json, write_json
from recsys_cli.runs.seed import Report, SeedTraining

SCORE, TIME = "score", "progress"  # of a trial's results: what schedulers compare, and when
POINTER = "seeds.json"


@dataclass(frozen=True)
class TrialSpec:
    """A trial: its config and its seeds.

    Attributes:
        config: resolved.
        seeds: folder of each.
        point: values of dotted keys that a search may change while the trial runs; they override `config`.
        metric: whose latest value is the score.
        over_seeds: how the seeds' values are combined: mean or iqm.
        unit: steps of one unit of progress.
        repeat: whether to repeat an earlier session's reports for the scheduler.
        pruned: whether a scheduler ended it in an earlier session.
        failed: its error in an earlier session, if it must fail again: others were judged without it.
    """

    config: TrainConfig
    seeds: Mapping[int, Path]
    point: Mapping[str, Any] = field(default_factory=dict)
    metric: str = "eval/return"
    over_seeds: str = "mean"
    unit: int = 1
    repeat: bool = False
    pruned: bool = False
    failed: str | None = None

    def to_tune(self) -> dict[str, Any]:
        """Return Tune's config of the trial, plain values."""
        return {each.name: getattr(self, each.name) for each in fields(self)} | {
            "config": self.config.to_dict(),
            "seeds": [{"seed": seed, "folder": str(folder)} for seed, folder in self.seeds.items()],
            "point": dict(self.point),
        }


def folders_of(trial: Any) -> list[Path]:
    """Return the seeds' folders of a Tune trial."""
    return [Path(seed["folder"]) for seed in trial.config["seeds"]]


class TrainingTrial(Trainable):
    """Lets its seeds report in turn; Tune's config is a `TrialSpec.to_tune()`.

    Checkpoints are written by the seeds, not by Tune, so that each is complete under its final name before `last.json`
    names it. What Tune keeps of a trial that it pauses or clones only points at them.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Read the seeds' folders."""
        run = TrainConfig.from_dict(merge_changes(config["config"], list(config["point"].items())))
        self.spec = config
        self.scores: dict[str, float] = {}
        self.reported_at = 0
        self.seeds = [
            SeedTraining(run, int(seed["seed"]), Path(seed["folder"]), repeat=config["repeat"])
            for seed in config["seeds"]
        ]

    def step(self) -> dict[str, Any]:
        """Let every seed report once.

        Raises:
            RuntimeError: it failed at this point in an earlier session.
        """
        if self.spec["failed"] is not None and not any(seed.known for seed in self.seeds):
            raise RuntimeError(f"failed in an earlier session: {self.spec['failed']}")
        reports = [seed.report() for seed in self.seeds]
        self.reported_at = min(report.steps for report in reports)
        return {
            "reports": [vars(report) for report in reports],
            "point": dict(self.spec["point"]),  # in the driver it may have changed by the time this is read
            "repeated": all(report.repeated for report in reports),
            "more_known": any(seed.known for seed in self.seeds),
            TIME: self.reported_at // self.spec["unit"],
            SCORE: self._score(reports),
            "done": all(report.finished for report in reports),  # Tune's own, which it also sets when it stops a trial
        }

    def _score(self, reports: list[Report]) -> float:
        """Return the joint score of the seeds' latest values; NaN until all have one.

        Raises:
            ValueError: evaluated episodes lack the metric, so the problem does not have it.
        """
        name = self.spec["metric"]
        for report in reports:
            if name.startswith("eval/") and "eval/return" in report.metrics and name not in report.metrics:
                there = ", ".join(key for key in report.metrics if key.startswith("eval/"))
                raise ValueError(f"episodes of this problem have no {name}; they have {there}")
        self.scores |= {report.folder: report.metrics[name] for report in reports if name in report.metrics}
        known = [self.scores.get(report.folder, math.nan) for report in reports]
        return joint_score(known, self.spec["over_seeds"])

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Point at the seeds' current checkpoints."""
        paths = [str(seed.save()) for seed in self.seeds]
        write_json(Path(checkpoint_dir) / POINTER, {"steps": self.reported_at, "paths": paths})

    def load_checkpoint(self, checkpoint: str) -> None:
        """Continue from where this or another trial was."""
        pointer = read_json(Path(checkpoint) / POINTER)
        self.reported_at = pointer["steps"]
        for seed, path in zip(self.seeds, pointer["paths"], strict=True):
            seed.go_on_from(Path(path), self.reported_at, self.spec["unit"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """End this trial and begin the next one in the same process."""
        self.cleanup()
        self.setup(new_config)
        return True

    def cleanup(self) -> None:
        """End the seeds' trainings."""
        for seed in self.seeds:
            seed.stop()
