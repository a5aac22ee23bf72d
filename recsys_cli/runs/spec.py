"""What Tune is told about a trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recsys_cli.config.schema import TrainConfig

SCORE, TIME = "score", "progress"  # of a trial's results: what schedulers compare, and when


@dataclass(frozen=True)
class TrialSpec:
    """A trial: its config and its members, one a seed.

    Attributes:
        config: resolved.
        members: folder of each seed.
        point: values of dotted keys that a search may change while the trial runs, put over `config`.
        metric: whose latest value is the score.
        over_seeds: how the members' values become one: mean or iqm.
        unit: env steps of one unit of progress.
        repeat: whether reports of an earlier session come again, for the scheduler to see.
        pruned: whether a scheduler ended it in an earlier session.
        failed: how it failed in an earlier session, where it shall fail again: others were judged without it.
    """

    config: TrainConfig
    members: Mapping[int, Path]
    point: Mapping[str, Any] = field(default_factory=dict)
    metric: str = "eval/return"
    over_seeds: str = "mean"
    unit: int = 1
    repeat: bool = False
    pruned: bool = False
    failed: str | None = None

    def to_tune(self) -> dict[str, Any]:
        """Return Tune's config of the trial, plain values."""
        return {
            "run": self.config.to_dict(),
            "members": [{"seed": seed, "folder": str(folder)} for seed, folder in self.members.items()],
            "point": dict(self.point),
            "metric": self.metric,
            "over_seeds": self.over_seeds,
            "unit": self.unit,
            "repeat": self.repeat,
            "pruned": self.pruned,
            "failed": self.failed,
        }


def folders_of(trial: Any) -> list[Path]:
    """Return the members' folders of one of Tune's trials."""
    return [Path(member["folder"]) for member in trial.config["members"]]


def joint_score(values: Sequence[float], how: str) -> float:
    """Return one score of several seeds.

    Args:
        values: one a seed.
        how: `mean`, or `iqm`: the mean of the middle half, a value that it cuts through by weight (Agarwal et al.
            2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice", section 4.3).
    """
    ordered = np.sort(np.asarray(values, float))
    if how == "mean" or np.isnan(ordered).any():
        return float(ordered.mean())
    edges = np.linspace(0, 1, len(ordered) + 1)
    weights = np.clip(np.minimum(edges[1:], 0.75) - np.maximum(edges[:-1], 0.25), 0, None)
    return float(ordered @ weights / weights.sum())
