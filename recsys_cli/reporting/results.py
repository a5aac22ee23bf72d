"""A sweep's results, read from its folders."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys_cli.config.search import SearchConfig
from recsys_cli.config.types import show
from recsys_cli.evaluation.statistics import joint_score
from recsys_cli.files import read_jsonl, write_text
from recsys_cli.reporting.importance import Importance
from recsys_cli.reporting.plots import draw
from recsys_cli.runs.folder import FAILED, FINISHED, PAUSED, PRUNED, RUNNING, STOPPED, WAITING, read_seed
from recsys_cli.runs.plan import Point
from recsys_cli.tracking.folder import JOURNAL

POINTS = "points.csv"


@dataclass(frozen=True)
class SeedResult:
    """How one seed of a point ended.

    Attributes:
        folder: its folder.
        seed: its number.
        state: finished, pruned, stopped, failed, running, or waiting.
        steps: of its last report.
        scores: the metric's values by steps.
        point: the axes' current values, if a search changes them during training.
    """

    folder: Path
    seed: int
    state: str
    steps: int
    scores: dict[int, float]
    point: dict[str, Any]

    @property
    def score(self) -> float:
        """The latest value."""
        return self.scores[max(self.scores)] if self.scores else math.nan


@dataclass(frozen=True)
class PointResult:
    """How a point did.

    Attributes:
        setting: the point's settings.
        seeds: one result each.
        score: of all seeds together, NaN until all have one.
    """

    setting: Point
    seeds: list[SeedResult]
    score: float

    @property
    def steps(self) -> int:
        """Steps that all seeds have reached."""
        return min(seed.steps for seed in self.seeds)

    @property
    def state(self) -> str:
        """The most notable state of its seeds: failed, then unfinished ones, then finished."""
        states = [seed.state for seed in self.seeds]
        order = [FAILED, STOPPED, RUNNING, PAUSED, WAITING, PRUNED, FINISHED]
        return min(states, key=lambda state: order.index(state) if state in order else 0)

    @property
    def words(self) -> list[str]:
        """The overrides that train it, with the current values."""
        now = {key: f"{key}={text}" for key, text in self.values.items()}
        return [now.get(word.partition("=")[0], word) for word in self.setting.words]

    @property
    def values(self) -> dict[str, str]:
        """The axes' values, the current ones if a search changed them."""
        now = self.seeds[0].point
        return {
            key: show(now[key]) if key in now and now[key] != self.setting.typed[key] else text
            for key, text in self.setting.values.items()
        }


def collect(sweep_dir: Path, points: Sequence[Point], search: SearchConfig) -> list[PointResult]:
    """Return the results of all points: finished ones first, better ones first among them."""
    found = []
    for point in points:
        folders = point.seeds(sweep_dir, search.seeds_per_point)
        seeds = [_seed_result(folder, seed, search.metric) for seed, folder in folders.items()]
        found.append(PointResult(point, seeds, joint_score([seed.score for seed in seeds], search.over_seeds)))
    sign = -1 if search.mode == "max" else 1
    return sorted(found, key=lambda point: (-_rank(point), math.isnan(point.score), sign * point.score))


def _rank(point: PointResult) -> float:
    return math.inf if point.state == FINISHED else point.steps


def _seed_result(folder: Path, seed: int, metric: str) -> SeedResult:
    rows = read_jsonl(folder / JOURNAL)
    scores = {row["steps"]: row["metrics"][metric] for row in rows if metric in row["metrics"]}
    about = read_seed(folder)
    steps = rows[-1]["steps"] if rows else 0
    return SeedResult(folder, seed, about.get("status", WAITING), steps, scores, about.get("point", {}))


def best_points(points: Sequence[PointResult], mode: str) -> dict[str, PointResult]:
    """Return the best point of each problem: among the finished ones, else among those that got furthest.

    Args:
        points: as `collect` returns them.
        mode: max or min.
    """
    best: dict[str, PointResult] = {}
    for point in points:
        if not math.isnan(point.score) and point.state != FAILED:
            best.setdefault(point.setting.problem, point)
    return best


def write_results(sweep_dir: Path, points: Sequence[PointResult], best: Iterable[str], search: SearchConfig) -> None:
    """Write `points.csv`, and the figures of each problem."""
    write_text(sweep_dir / POINTS, _csv(points))
    for problem in best:
        draw(sweep_dir, problem, of_problem(points, problem), search)


def describe_best(
    best: Mapping[str, PointResult], importance: Mapping[str, Importance | None], search: SearchConfig
) -> dict[str, Any]:
    """Return the content of `best.json`: the best point of each problem, and which axes mattered."""
    found = {
        problem or "all": {
            "point": point.setting.name,
            "score": point.score,
            "steps": point.steps,
            "values": point.values,
            "words": point.words,
            "importance": weights.to_dict() if (weights := importance[problem]) else None,
        }
        for problem, point in best.items()
    }
    return {"metric": search.metric, "mode": search.mode, "best": found}


def headline(points: Sequence[PointResult], best: Mapping[str, PointResult], search: SearchConfig) -> dict[str, float]:
    """Return the numbers that become metrics of the sweep."""
    scores = {f"{problem}/{search.metric}".lstrip("/"): point.score for problem, point in best.items()}
    return {"points": float(len(points)), "steps": float(spent(points)), **scores}


def spent(points: Sequence[PointResult]) -> int:
    """Return the steps of all seeds together."""
    return sum(seed.steps for point in points for seed in point.seeds)


def of_problem(points: Sequence[PointResult], problem: str) -> list[PointResult]:
    """Return the points of one problem."""
    return [point for point in points if point.setting.problem == problem]


def _csv(points: Sequence[PointResult]) -> str:
    """Return one row per point and seed, in the order of the points' names."""
    axes = list(dict.fromkeys(key for point in points for key in point.setting.values))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["point", *axes, "seed", "state", "steps", "score", "point_score", "folder"])
    for point in sorted(points, key=lambda point: point.setting.name):
        for seed in point.seeds:
            values = [point.values.get(axis, "") for axis in axes]
            scores = [_number(seed.score), _number(point.score)]
            row = [point.setting.name, *values, seed.seed, seed.state, seed.steps, *scores, seed.folder.name]
            writer.writerow(row)
    return text.getvalue()


def _number(value: float) -> str:
    return "" if math.isnan(value) else repr(round(value, 6))
