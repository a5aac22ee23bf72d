"""The end of a run: points are compared, the best evaluated on fresh users, and the results written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from recsys_cli.evaluation.checkpoint import Evaluation
from recsys_cli.reporting.importance import Importance, importance
from recsys_cli.reporting.results import (
    PointResult,
    best_points,
    collect,
    describe_best,
    headline,
    of_problem,
    write_results,
)
from recsys_cli.runs.driver import Driver
from recsys_cli.runs.folder import FAILED, FINISHED, STOPPED
from recsys_cli.tracking.local_runs import BEST


@dataclass
class Conclusion:
    """How a run ended.

    Attributes:
        run_dir: its folder.
        stopped: whether something is left to train.
        states: state of each seed of a training.
        points: all points of a search that were started, the best first.
        best: by problem.
        evaluations: on fresh users, by problem: of a training's finished seeds, or of a search's best points' seeds.
        importance: of the axes, by problem; None if there are too few points.
        failed: seeds of a training, points of a search.
    """

    run_dir: Path
    stopped: bool
    states: Mapping[Path, str] = field(default_factory=dict)
    points: list[PointResult] = field(default_factory=list)
    best: dict[str, PointResult] = field(default_factory=dict)
    evaluations: dict[str, list[Evaluation]] = field(default_factory=dict)
    importance: dict[str, Importance | None] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)


def conclude(driver: Driver) -> Conclusion:
    """Evaluate a training's finished seeds, or compare a search's points and evaluate the best of each problem."""
    if driver.plan.searches:
        return _conclude_search(driver)
    found = Conclusion(driver.run_dir, driver.stopped, driver.states)
    (point,) = driver.plan.points
    finished = [folder for folder, state in driver.states.items() if state == FINISHED]
    found.evaluations[point.problem] = driver.evaluate(point, finished)
    found.failed = [folder.name for folder, state in driver.states.items() if state == FAILED]
    return found


def _conclude_search(driver: Driver) -> Conclusion:
    search, run_dir, tracker = driver.search, driver.run_dir, driver.tracker
    points = collect(run_dir, driver.plan.points, search)
    best = best_points(points, search.mode)
    found = Conclusion(run_dir, driver.stopped, points=points, best=best)
    found.failed = [point.setting.name for point in points if point.state == FAILED]
    if not found.stopped or driver.reporting.spent:  # after Ctrl-C nobody wants to wait
        for problem, point in best.items():
            found.evaluations[problem] = driver.evaluate(point.setting, driver.seeds(point.setting).values())
    found.importance = {problem: importance(of_problem(points, problem)) for problem in best}
    write_results(run_dir, points, best, search)
    summary = describe_best(best, found.importance, search)
    tracker.log_evaluation(run_dir, summary, headline(points, best, search), BEST)
    for path in sorted([*run_dir.glob("*.csv"), *run_dir.glob("*.svg")]):
        tracker.add_file(run_dir, path.name)
    tracker.set_status(run_dir, STOPPED if found.stopped else FINISHED)
    return found
