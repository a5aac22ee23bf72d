"""A trial of Ray Tune: one training, or several seeds of the same in lock-step."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ray.tune import Trainable

from recsys_cli.config.compose import merge_changes
from recsys_cli.config.schema import TrainConfig
from recsys_cli.tracking.files import read_json, write_json
from recsys_cli.runs.seed import Member, Report
from recsys_cli.runs.spec import SCORE, TIME, joint_score

POINTER = "members.json"


class TrainingTrial(Trainable):
    """Lets its members report in turn; Tune's config is a `TrialSpec.to_tune()`.

    Checkpoints are written by the members and not by Tune, so that one stands whole on disk, under its final name, the
    moment `last.json` names it. What Tune keeps of a trial that it pauses or clones only points at them.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Read the members' folders."""
        run = TrainConfig.from_dict(merge_changes(config["run"], list(config["point"].items())))
        self.spec = config
        self.scores: dict[str, float] = {}
        self.reported_at = 0
        self.members = [
            Member(run, int(member["seed"]), Path(member["folder"]), repeat=config["repeat"])
            for member in config["members"]
        ]

    def step(self) -> dict[str, Any]:
        """Let every member report once.

        Raises:
            RuntimeError: it failed in an earlier session, at this place.
        """
        if self.spec["failed"] is not None and not any(member.known for member in self.members):
            raise RuntimeError(f"failed in an earlier session: {self.spec['failed']}")
        reports = [member.report() for member in self.members]
        self.reported_at = min(report.env_steps for report in reports)
        finished = all(report.finished for report in reports)
        return {
            "reports": [report.to_dict() for report in reports],
            "point": dict(self.spec["point"]),  # in the driver it may have changed by the time this is read
            "repeated": all(report.repeated for report in reports),
            "more_known": any(member.known for member in self.members),
            TIME: self.reported_at // self.spec["unit"],
            SCORE: self._score(reports),
            "done": finished,  # Tune's own, which it also sets where it stops a trial
        }

    def _score(self, reports: list[Report]) -> float:
        """Return the joint score of the members' latest values; NaN before all have one.

        Raises:
            ValueError: evaluated episodes that lack the metric, which the problem then never has.
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
        """Point at the members' checkpoints of now."""
        paths = [str(member.save()) for member in self.members]
        write_json(Path(checkpoint_dir) / POINTER, {"env_steps": self.reported_at, "paths": paths})

    def load_checkpoint(self, checkpoint: str) -> None:
        """Go on from where this or another trial was."""
        pointer = read_json(Path(checkpoint) / POINTER)
        self.reported_at = pointer["env_steps"]
        for member, path in zip(self.members, pointer["paths"], strict=True):
            member.go_on_from(Path(path), self.reported_at, self.spec["unit"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """End this trial and begin the next one in the same process."""
        self.cleanup()
        self.setup(new_config)
        return True

    def cleanup(self) -> None:
        """End the members."""
        for member in self.members:
            member.stop()
