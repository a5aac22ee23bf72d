"""What an axis decided: near 1 for the one that does, near 0 for one that does not; and which point is best."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys_cli.reporting.importance import importance
from recsys_cli.reporting.results import PointResult, SeedResult, best_points
from recsys_cli.runs.plan import Point


def result(number: int, values: dict[str, str], scores: dict[int, float], state: str = "finished") -> PointResult:
    config: Any = None
    point = Point(f"p{number:03d}", (), values, {}, config)
    seed = SeedResult(Path("x"), 0, state, max(scores, default=0), scores, {})
    return PointResult(point, [seed], seed.score)


def test_the_axis_that_decides_has_the_variance_and_noise_has_none() -> None:
    generator = np.random.default_rng(0)
    found = []
    for _ in range(20):
        noise, many = generator.normal(0, 0.1, 60), generator.uniform(size=60)
        points = [
            result(i, {"good": str(i % 3), "idle": str(i // 3 % 4), "many": repr(many[i])}, {10: i % 3 + noise[i]})
            for i in range(60)
        ]
        shares = importance(points)
        assert shares is not None and shares.points == 60
        found.append([shares.shares[axis] for axis in ("good", "idle", "many")])
    good, idle, many_share = np.mean(found, axis=0)
    assert good > 0.95 and idle < 0.05 and many_share < 0.05


def test_numbers_of_an_interval_count_by_size() -> None:
    x = np.random.default_rng(1).uniform(0, 1, 40)
    points = [result(i, {"x": repr(float(x[i]))}, {10: float(x[i])}) for i in range(40)]
    shares = importance(points)
    assert shares is not None and shares.shares["x"] > 0.85  # four parts of a line explain 15 in 16 of it


def test_points_stopped_early_are_compared_where_all_have_been() -> None:
    points = [
        result(i, {"x": str(i % 2)}, {10: float(i % 2), 20: 100.0 - i} if i < 4 else {10: i % 2}) for i in range(8)
    ]
    shares = importance(points)
    assert shares is not None and shares.steps == 10 and shares.shares["x"] == pytest.approx(1.0)


def test_five_points_tell_nothing() -> None:
    assert importance([result(i, {"x": str(i)}, {10: float(i)}) for i in range(5)]) is None


def test_the_best_is_one_that_was_trained_to_the_end_and_one_a_problem() -> None:
    points = [
        result(0, {"env": "a"}, {10: 5.0}),
        result(1, {"env": "a"}, {10: 3.0}),
        result(2, {"env": "b"}, {5: 9.0}, "pruned"),
        result(3, {"env": "b"}, {}, "failed"),
    ]
    best = best_points(points, "max")
    assert {problem: point.setting.name for problem, point in best.items()} == {"env=a": "p000", "env=b": "p002"}
