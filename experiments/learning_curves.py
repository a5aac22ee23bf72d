"""How soon a training got near its own best: read from what it reported."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHARE = 0.9
SMOOTHED_OVER = 3


@dataclass(frozen=True)
class Point:
    """Greedy episodes while training.

    Attributes:
        env_steps: trained so far.
        cpu_s: CPU seconds of training so far: sampling and learning, without these episodes and checkpoints.
        score: mean return.
    """

    env_steps: int
    cpu_s: float
    score: float


def learning_curve(journal: Path) -> list[Point]:
    """Return the evaluations in a trial's `metrics.jsonl`, in order of env steps."""
    if not journal.exists():
        return []
    rows = [json.loads(line) for line in journal.read_text().splitlines()]
    return [
        Point(row["steps"], row["metrics"]["time/train_cpu_s"], row["metrics"]["eval/return"])
        for row in rows
        if "eval/return" in row["metrics"]
    ]


def own_best(curve: Sequence[Point], final: float) -> float:
    """Return the greatest mean of three evaluations in a row, or the final score if that is greater.

    Of single evaluations the greatest would be the luckiest.
    """
    windows = [curve[i : i + SMOOTHED_OVER] for i in range(len(curve) - SMOOTHED_OVER + 1)]
    return max([final, *(sum(point.score for point in window) / SMOOTHED_OVER for window in windows)])


def progress(curve: Sequence[Point], random: float | None, final: float) -> dict[str, Any]:
    """Return a seed's own best and the first evaluation that came 90 % of the way there from random slates.

    Args:
        curve: in order of env steps; may be empty.
        random: return of random slates.
        final: greedy return of the trained policy, on more users than an evaluation has.
    """
    if not curve or random is None:
        return {}
    best = own_best(curve, final)
    level = random + SHARE * (best - random)
    # A final score that no evaluation came near is reached at the end.
    there = next((point for point in curve if point.score >= level), curve[-1])
    return {
        "best": round(best, 3),
        "first_evaluation": curve[0].env_steps,
        "env_steps_to_90": there.env_steps,
        "cpu_s_to_90": round(there.cpu_s, 3),
        "train_cpu_s": round(curve[-1].cpu_s, 3),
    }
