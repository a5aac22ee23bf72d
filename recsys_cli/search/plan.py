"""The plan of a search: its points, kept in `sweep.json`, and how Tune runs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_cli.config.schema import SweepConfig
from recsys_cli.config.search import RandomSearch
from recsys_cli.files import read_json, update_json, write_json
from recsys_cli.runs.folder import create_run
from recsys_cli.runs.plan import Plan, Point
from recsys_cli.runs.resume import remembered_classes
from recsys_cli.search.points import Space
from recsys_cli.tracking.local_runs import SWEEP

if TYPE_CHECKING:
    from recsys_cli.runs.stopping import OnRequest
    from recsys_cli.runs.trial import TrialSpec

RETRIES = {"continue": 0, "retry": 2, "stop": 0}


def create_sweep(config: SweepConfig, words: list[str], command: list[str], points: list[Point]) -> Path:
    """Make the folder of a new sweep and write its description.

    Raises:
        ConfigError: `name` is taken.
    """
    run_dir = create_run(config, "sweep", command)
    write_json(run_dir / SWEEP, {"words": words, "points": [point.to_dict() for point in points]})
    return run_dir


def read_points(run_dir: Path, config: SweepConfig) -> list[Point]:
    """Return the points planned so far, with the sweep's current resources."""
    with remembered_classes(run_dir):
        points = [Point.from_dict(values) for values in read_json(run_dir / SWEEP)["points"]]
    return [replace(point, config=replace(point.config, resources=config.resources)) for point in points]


class SearchPlan(Plan):
    """The points of a search.

    Args:
        config: of the sweep.
        space: of the sweep; None in a continued sweep, which builds it only if needed.
        run_dir: its folder.
    """

    root = "sweep"

    def __init__(self, config: SweepConfig, space: Space | None, run_dir: Path) -> None:
        """Start without points."""
        self.config, self.search = config, config.search
        if space is None and (self.search.changes or self.search.adaptive):
            space = Space(read_json(run_dir / SWEEP)["words"])  # points stay as planned
        self.space = space
        self.points: list[Point] = []
        self.retries = RETRIES[self.search.on_failure]

    @property
    def expected(self) -> int:
        """Total number of points."""
        return self.search.trials if isinstance(self.search, RandomSearch) else len(self.points)

    def read(self, run_dir: Path) -> None:
        """Read the planned points."""
        self.points += read_points(run_dir, self.config)

    def add(self, run_dir: Path, point: Point) -> None:
        """Add a proposed point."""
        update_json(run_dir / SWEEP, lambda sweep: sweep["points"].append(point.to_dict()))
        self.points.append(point)

    def proposals(self, make_trial: Callable[[Point], TrialSpec]) -> Any:
        """Return the searcher that proposes points, starting with those of earlier sessions."""
        from recsys_cli.search.proposals import Proposals

        assert isinstance(self.search, RandomSearch) and self.space is not None
        known = [point.proposal for point in self.points if point.proposal is not None]
        return Proposals(self.space, self.search, known, make_trial)

    def tune_arguments(self, stopper: OnRequest) -> dict[str, Any]:
        """Return the scheduler and its arguments."""
        from recsys_cli.search.schedulers import GivenTrials, make_scheduler

        branches = self.space.branches if self.space and self.search.changes else []
        axes = {axis.key: axis for branch in branches for axis in branch.axes}
        arguments: dict[str, Any] = {"scheduler": make_scheduler(self.config, axes, stopper)}
        if self.search.compares:
            arguments["max_concurrent_trials"] = None  # the scheduler's `at_once`
        if self.search.adaptive:
            arguments["num_samples"] = self.expected
        elif self.search.compares:
            arguments["search_alg"] = GivenTrials()
        return arguments
