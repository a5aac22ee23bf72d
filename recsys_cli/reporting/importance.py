"""How much each axis of a sweep affected the score: a simple estimate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_cli.evaluation.statistics import omega_squared

if TYPE_CHECKING:
    from recsys_cli.reporting.results import PointResult

LEAST_POINTS, PARTS = 6, 4


@dataclass(frozen=True)
class Importance:
    """The fraction of the scores' variance that each axis explains by itself.

    Attributes:
        shares: omega squared of each axis, 0..1, without interactions.
        points: number of points compared.
        steps: at which they are compared: the most that all of them reached.
    """

    shares: dict[str, float]
    points: int
    steps: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def importance(points: Sequence[PointResult]) -> Importance | None:
    """Return the axes' importance, None if fewer than six points can be compared.

    Points stopped early and finished ones are compared at steps that all have reached.
    """
    scored = [point for point in points if all(seed.scores for seed in point.seeds)]
    axes = list(dict.fromkeys(key for point in scored for key in point.setting.values))
    if len(scored) < LEAST_POINTS:
        return None
    reached = min(max(seed.scores) for point in scored for seed in point.seeds)
    scores = np.array([_score_at(point, reached) for point in scored])
    usable = np.isfinite(scores)
    if usable.sum() < LEAST_POINTS:
        return None
    kept = [point for point, good in zip(scored, usable, strict=True) if good]
    shares = {
        axis: omega_squared(_levels([point.setting.values.get(axis, "") for point in kept]), scores[usable])
        for axis in axes
    }
    return Importance(shares, len(kept), reached)


def _score_at(point: PointResult, steps: int) -> float:
    """Return a point's mean score over seeds at the last evaluation up to `steps`."""
    values = [
        seed.scores[max((at for at in seed.scores if at <= steps), default=min(seed.scores))] for seed in point.seeds
    ]
    return float(np.mean(values))


def _levels(texts: Sequence[str]) -> np.ndarray:
    """Return the group of each value: one per distinct value, or four ranges if there are many numbers."""
    distinct = sorted(set(texts))
    numbers = [_number(text) for text in texts]
    if len(distinct) > len(texts) / 2 and all(number is not None for number in numbers):
        ranks = np.argsort(np.argsort(np.array(numbers, float), kind="stable"), kind="stable")
        return np.asarray(ranks * PARTS // len(texts))
    return np.array([distinct.index(text) for text in texts])


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
