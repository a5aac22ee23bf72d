"""`recsys sweep` as a function: points as trials of Ray Tune, tracked, resumable, the best one evaluated at the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recsys_cli.config.schema import SweepConfig
from recsys_cli.config.search import RandomSearch
from recsys_cli.evaluation.checkpoint import Evaluation
from recsys_cli.evaluation.compare import score_baselines
from recsys_cli.reporting.importance import Importance, importance
from recsys_cli.reporting.results import (
    PointResult,
    best_points,
    best_told,
    collect,
    headline,
    of_problem,
    write_results,
)
from recsys_cli.runs.callbacks import FAILED, FINISHED, PRUNED, STOPPED, WAITING
from recsys_cli.runs.driver import (
    evaluate_last,
    last_line,
    make_tracker,
    note,
    noted_ends,
    open_member,
    origin_tags,
    run_trials,
)
from recsys_cli.runs.folder import Checkpoints, keep_config
from recsys_cli.runs.session import ray_session
from recsys_cli.runs.spec import TrialSpec
from recsys_cli.runs.stopping import stop_on_interrupt
from recsys_cli.search.callbacks import ERROR, SweepReporting
from recsys_cli.search.folder import PlannedPoint, add_point, read_points, write_point_config
from recsys_cli.search.points import Point, Space
from recsys_cli.search.progress import SweepProgress
from recsys_cli.search.schedulers import GivenTrials, make_scheduler
from recsys_cli.tracking.files import read_json
from recsys_cli.tracking.folder import TRIAL
from recsys_cli.tracking.local_runs import BEST

RETRIES = {"continue": 0, "retry": 2, "stop": 0}


@dataclass
class SweepResult:
    """How a sweep ended.

    Attributes:
        sweep_dir: its folder.
        points: all that were begun, the best first.
        best: by problem.
        evaluations: of the best points' seeds on fresh users, by problem.
        importance: of the axes, by problem; None where too few points tell.
        stopped: whether something is left to train.
    """

    sweep_dir: Path
    points: list[PointResult]
    best: dict[str, PointResult]
    evaluations: dict[str, list[Evaluation]] = field(default_factory=dict)
    importance: dict[str, Importance | None] = field(default_factory=dict)
    stopped: bool = False


class Sweep:
    """One session of a sweep, new or resumed.

    Args:
        config: resolved.
        space: what its words mean; None where no more is asked of it than the points planned.
        sweep_dir: made by `folder.create_sweep`.
        command: the words typed, for the record.
    """

    def __init__(self, config: SweepConfig, space: Space | None, sweep_dir: Path, command: list[str]) -> None:
        """Read the points that are planned."""
        self.config, self.search, self.space, self.sweep_dir = config, config.search, space, sweep_dir
        self.points: list[PlannedPoint] = []
        self.progress = SweepProgress(config.progress, config)
        self.about = {**origin_tags(command), "search": self.search.name, "sweep": sweep_dir.name}

    def _expected(self) -> int:
        search = self.search
        return search.trials if isinstance(search, RandomSearch) else len(self.points)

    def run(self) -> SweepResult:
        """Train, compare, evaluate the best."""
        with make_tracker(self.config, self.sweep_dir, self.progress.say) as tracker, noted_ends(self._folders()):
            self.tracker = tracker  # from here on no other process works on this sweep
            keep_config(self.sweep_dir, self.config)
            self.points += read_points(self.sweep_dir, self.config)
            self.progress.points = self._expected()
            tracker.open_trial(self.sweep_dir, params=self.config.to_dict(), tags={**self.about, "kind": "sweep"})
            self.reporting = SweepReporting(tracker, self.progress, self.search, self.progress.say)
            trials = self._adaptive() if self.search.adaptive else self._given()
            if trials:
                members = self.search.seeds_per_trial
                with self.progress, ray_session(self.config.resources, self.sweep_dir, members):
                    while trials:
                        self._train(trials)
                        trials = self._lost()
            return self._conclude()

    def _folders(self) -> Iterator[Path]:
        return (folder for point in self.points for folder in self._members(point).values())

    def _members(self, point: PlannedPoint) -> dict[int, Path]:
        return point.members(self.sweep_dir, self.search.seeds_per_point)

    def _train(self, trials: Any) -> None:
        stopper = self.reporting.stopper
        branches = self.space.branches if self.space and self.search.changes else []
        axes = {axis.key: axis for branch in branches for axis in branch.axes}
        how: dict[str, Any] = {}
        if self.search.compares:
            how["max_concurrent_trials"] = None  # the scheduler's `at_once`
        if self.search.adaptive:
            how["num_samples"] = self._expected()
        elif self.search.compares:
            how["search_alg"] = GivenTrials()
        with stop_on_interrupt(stopper, self.progress.say):
            run_trials(
                trials,
                self.sweep_dir,
                self.config,
                self.reporting,
                stopper,
                members=self.search.seeds_per_trial,
                scheduler=make_scheduler(self.config, axes, stopper),
                max_failures=RETRIES[self.search.on_failure],
                **how,
            )

    def _given(self) -> list[TrialSpec]:
        """Return the trials of the points that are planned; without a scheduler only those with something to do."""
        trials = [trial for point in self.points for trial in self._trials_of(point)]
        if self.search.joint:
            unfinished = any(_state(folder) not in (FINISHED, PRUNED) for folder in self._folders())
            return trials if unfinished else []
        return [trial for trial in trials if not self._is_done(trial)]

    def _lost(self) -> Any:
        """Return the trials to run again because a process of them was gone: they go on as in a resumed sweep."""
        lost = self.reporting.take_lost()
        if not lost or self.reporting.stopper.requested:
            return None
        if self.search.joint:
            return self._adaptive() if self.search.adaptive else self._given()
        points = [point for point in self.points if lost & set(self._members(point).values())]
        trials = [trial for point in points for trial in self._trials_of(point)]
        return [trial for trial in trials if lost & set(trial.members.values())]

    def _adaptive(self) -> Any:
        from recsys_cli.search.proposals import Proposals

        assert isinstance(self.search, RandomSearch) and self.space is not None
        states = [_state(folder) for folder in self._folders()]
        if len(self.points) >= self.search.trials and not set(states) - {FINISHED, PRUNED}:
            return None
        known = [point.proposal for point in self.points if point.proposal is not None]
        return Proposals(self.space, self.search, known, self._proposed)

    def _proposed(self, point: Point, proposal: Mapping[str, Any]) -> TrialSpec:
        """Return the trial of a proposed point, planned now or in an earlier session."""
        planned = next((known for known in self.points if known.name == point.name), None)
        if planned is None:
            planned = PlannedPoint.of(point, proposal)
            add_point(self.sweep_dir, planned)
            self.points.append(planned)
        (trial,) = self._trials_of(planned)
        return trial

    def _trials_of(self, point: PlannedPoint) -> list[TrialSpec]:
        """Open a point's members and return its trials: one with all seeds, or one a seed."""
        members = self._members(point)
        told = {folder: _trial(folder) for folder in members.values()}
        failed = [_reason(folder) for folder, trial in told.items() if trial.get("status") == FAILED]
        for seed, folder in members.items():
            self._open(point, seed, folder)
        groups = [members] if self.search.joint else [{seed: folder} for seed, folder in members.items()]
        return [
            TrialSpec(
                point.config,
                group,
                point=point.typed if self.search.changes else {},
                metric=self.search.metric,
                over_seeds=self.search.over_seeds,
                unit=self.search.unit(self.config.env_steps) or 1,
                repeat=self.search.joint,
                pruned=all(trial.get("pruned", False) for trial in told.values()),
                failed=failed[0] if failed and self.search.joint else None,
            )
            for group in groups
        ]

    def _open(self, point: PlannedPoint, seed: int, folder: Path) -> None:
        state = self.reporting.before[folder] = _state(folder)
        write_point_config(folder, point.config)
        tags = {**self.about, "point": point.name, **{f"axis.{key}": value for key, value in point.values.items()}}
        open_member(self.tracker, point.config, seed, folder, tags, self.sweep_dir)
        state = state if state in (FINISHED, PRUNED) else WAITING
        note(folder, status=state)
        self.tracker.set_status(folder, state)
        last = Checkpoints(folder / "checkpoints", point.config.checkpoint.keep).pointed("last")
        self.reporting.env_steps[folder] = last["env_steps"] if last else 0
        self.progress.add(folder.name, point.values)

    def _is_done(self, trial: TrialSpec) -> bool:
        return all(_state(folder) == FINISHED for folder in trial.members.values())

    def _conclude(self) -> SweepResult:
        """Compare the points, evaluate the best of each problem on fresh users, write all of it down."""
        results = collect(self.sweep_dir, self.points, self.search)
        best = best_points(results, self.search.mode)
        states = {_state(folder) for folder in self._folders()}
        left = len(self.points) < self._expected() or bool(states - {FINISHED, PRUNED, FAILED})
        result = SweepResult(self.sweep_dir, results, best, stopped=left)
        if not left or self.reporting.spent:  # after Ctrl-C nobody wants to wait
            result.evaluations |= {problem: self._evaluate(point) for problem, point in best.items()}
        result.importance = {problem: importance(of_problem(results, problem)) for problem in best}
        write_results(self.sweep_dir, results, best, self.search)
        told = best_told(best, result.importance, self.search)
        self.tracker.log_evaluation(self.sweep_dir, told, headline(results, best, self.search), BEST)
        for path in sorted([*self.sweep_dir.glob("*.csv"), *self.sweep_dir.glob("*.svg")]):
            self.tracker.add_file(self.sweep_dir, path.name)
        self.tracker.set_status(self.sweep_dir, STOPPED if left else FINISHED)
        return result

    def _evaluate(self, point: PointResult) -> list[Evaluation]:
        settings, config = self.config.evaluation, point.planned.config
        baselines = score_baselines(settings.baselines, config.env, settings.users, settings.seed)
        found = []
        for folder in self._members(point.planned).values():
            last = Checkpoints(folder / "checkpoints", config.checkpoint.keep).path("last")
            if last is None:
                continue
            self.tracker.upload_bundle(folder, last, "last")
            found.append(evaluate_last(settings, folder, last, self.tracker, baselines))
        return found


def _trial(folder: Path) -> dict[str, Any]:
    """Return what is kept of a member."""
    return dict(read_json(folder / TRIAL, default={}))


def _state(folder: Path) -> str | None:
    """Return how a member ended, or `running`; None for one that never began."""
    return _trial(folder).get("status")


def _reason(folder: Path) -> str:
    """Return the line that says why a member failed."""
    log = folder / ERROR
    return last_line(log.read_text(encoding="utf-8") if log.exists() else None)
