"""The driver of every run: points and seeds as trials of Ray Tune, tracked, resumable, evaluated."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from recsys_cli.config.schema import TrainConfig
from recsys_cli.evaluation.checkpoint import Evaluation, evaluate_checkpoint
from recsys_cli.files import read_jsonl, write_text
from recsys_cli.runs.baselines import Baselines
from recsys_cli.runs.callbacks import ERROR, Reporting, last_line
from recsys_cli.runs.display import Display
from recsys_cli.runs.folder import (
    FAILED,
    FINISHED,
    PRUNED,
    RUNNING,
    STOPPED,
    WAITING,
    Checkpoints,
    keep_config,
    note,
    read_seed,
)
from recsys_cli.runs.plan import Plan, Point
from recsys_cli.runs.session import ray_session
from recsys_cli.runs.signals import interruptible, stop_on_signal
from recsys_cli.runs.trial import TrialSpec
from recsys_cli.runs.tune import run_trials
from recsys_cli.tracking.folder import CONFIG, JOURNAL
from recsys_cli.tracking.provenance import git_commit, versions
from recsys_cli.tracking.tracker import Tracker


@contextmanager
def driving(config: TrainConfig, plan: Plan, run_dir: Path, command: list[str]) -> Iterator[Driver]:
    """Yield the driver of one session of a run, new or resumed, with exclusive use of the run's folder.

    Args:
        config: the run's resolved config.
        plan: what it trains.
        run_dir: made by `folder.create_run`.
        command: the command line, for the record.

    Raises:
        ConfigError: another process uses the run.
    """
    display, tracking = Display(config.progress, plan), config.tracking
    with (
        interruptible(),
        Tracker(
            run_dir,
            enabled=tracking.enabled,
            uri=tracking.uri,
            experiment=tracking.experiment,
            register_model=tracking.register_model,
            say=display.say,
        ) as tracker,
    ):
        keep_config(run_dir, config)
        plan.read(run_dir)
        driver = Driver(config, plan, run_dir, command, tracker, display)
        try:
            yield driver
        except BaseException as error:
            for folder in driver.folders():
                if _state(folder) == RUNNING:  # cut short
                    note(folder, status=FAILED if isinstance(error, Exception) else STOPPED)
            raise


class Driver:
    """Trains what is left of a plan, from the existing checkpoints; see `driving`."""

    def __init__(
        self, config: TrainConfig, plan: Plan, run_dir: Path, command: list[str], tracker: Tracker, display: Display
    ) -> None:
        """Open the run's parent in MLflow, if it has several seeds."""
        self.config, self.plan, self.search, self.run_dir = config, plan, plan.search, run_dir
        self.tracker, self.display = tracker, display
        self.reporting = Reporting(plan, tracker, display)
        self.states = self.reporting.states
        self.baselines: Baselines | None = None
        self.tags: dict[str, Any] = {
            "command": " ".join(command),
            "git_commit": git_commit(Path.cwd()),
            "versions": versions(),
        }
        if plan.searches:
            self.tags |= {"search": self.search.name, plan.root: run_dir.name}
        self.parent = run_dir if plan.searches or self.search.seeds_per_point > 1 else None
        if self.parent is not None:
            tracker.open(run_dir, params=config.to_dict(), tags={**self.tags, "kind": plan.root})

    def folders(self) -> Iterator[Path]:
        """Return the folders of all seeds."""
        return (folder for point in self.plan.points for folder in self.seeds(point).values())

    def seeds(self, point: Point) -> dict[int, Path]:
        """Return the folder of each of a point's seeds."""
        return point.seeds(self.run_dir, self.search.seeds_per_point)

    @property
    def stopped(self) -> bool:
        """Whether something is left to train."""
        states = {self.states.get(folder, _state(folder)) for folder in self.folders()}
        return len(self.plan.points) < self.plan.expected or bool(states - {FINISHED, PRUNED, FAILED})

    def train(self) -> None:
        """Train until all is done or a stop is requested.

        Raises:
            ConfigError: the baselines failed, which ended the training.
        """
        trials = self._trials()
        with self.display:
            if not trials:
                self._play_baselines()
            elif self.config.resources.inline:
                self._train_inline(trials)
            else:
                self._train_on_ray(trials)
        for folder in self.states:
            checkpoints = Checkpoints.of(folder, self.config)
            for alias in ("best", "last"):
                # Some were never reported: written as a seed was stopped, or just before it was killed.
                if (path := checkpoints.path(alias)) is not None:
                    self.tracker.upload_bundle(folder, path, alias)
        if self.baselines is not None:
            self.baselines.check()

    def _train_inline(self, trials: list[TrialSpec]) -> None:
        from recsys_cli.runs.inline import run_inline

        self.display.expect("the first report")
        with stop_on_signal(self.reporting.stopper, self.display.say):
            # The baselines are played later: two threads of one interpreter train at a third of the speed.
            run_inline(trials, self.reporting, self.plan.retries)

    def _train_on_ray(self, trials: Any) -> None:
        resources, seeds = self.config.resources, self.search.seeds_per_trial
        stopper = self.reporting.stopper
        number = len(trials) if isinstance(trials, list) else self.plan.expected
        with (
            ray_session(resources, self.run_dir, number, seeds, self.display.hint) as gone,
            stop_on_signal(stopper, self.display.say, gone),
        ):
            # Not before: OpenBLAS waits for its threads at every fork, and Ray's start forks.
            self._play_baselines()
            self.display.expect("the training's process to import PyTorch and RLlib, and for its first report")
            while trials:
                more = {"max_failures": self.plan.retries, **self.plan.tune_arguments(stopper)}
                run_trials(trials, self.run_dir, resources, self.reporting, seeds, **more)
                trials = self._lost()

    def _play_baselines(self) -> None:
        settings, env = self.config.evaluation, self.config.env.simulator
        if not self.plan.searches and env is not None:
            self.baselines = Baselines(settings, env, self.display.set_references, self.reporting.stop_for)

    def _trials(self) -> Any:
        """Return the trials of the planned points, if there is something to do, or a searcher that has more.

        Trials that are compared are only done together: an earlier session's reports come again.
        """
        finished = not self.stopped and FAILED not in map(_state, self.folders())
        if self.search.adaptive:
            return None if finished else self.plan.proposals(self._proposed)
        trials = [trial for point in self.plan.points for trial in self._trials_of(point)]
        if self.search.joint:
            return [] if finished else trials
        return [trial for trial in trials if {self.states[folder] for folder in trial.seeds.values()} != {FINISHED}]

    def _lost(self) -> Any:
        """Return the trials to run again after losing a process; they continue as in a resumed run."""
        lost = self.reporting.take_lost()
        if not lost or self.reporting.stopper.requested:
            return None
        if self.search.joint:
            return self._trials()
        return [trial for point in self.plan.points for trial in self._trials_of(point, lost)]

    def _proposed(self, point: Point) -> TrialSpec:
        """Return the trial of a proposed point, planned now or in an earlier session."""
        known = {planned.name: planned for planned in self.plan.points}
        if point.name not in known:
            self.plan.add(self.run_dir, point)
        (trial,) = self._trials_of(known.get(point.name, point))
        return trial

    def _trials_of(self, point: Point, among: Container[Path] | None = None) -> list[TrialSpec]:
        """Open a point's seeds, all or those in some folders, and return its trials: one for all, or one per seed."""
        seeds = {seed: folder for seed, folder in self.seeds(point).items() if among is None or folder in among}
        known = {folder: read_seed(folder) for folder in seeds.values()}
        failed = [_reason(folder) for folder, about in known.items() if about.get("status") == FAILED]
        for seed, folder in seeds.items():
            self._open(point, seed, folder)
        whole = TrialSpec(
            point.config,
            seeds,
            point=point.typed if self.search.changes else {},
            metric=self.search.metric,
            over_seeds=self.search.over_seeds,
            unit=self.search.unit(self.config.steps) or 1,
            repeat=self.search.joint,
            pruned=all(about.get("pruned", False) for about in known.values()),
            failed=failed[0] if failed and self.search.joint else None,
        )
        return [whole] if self.search.joint else [replace(whole, seeds={seed: seeds[seed]}) for seed in seeds]

    def _open(self, point: Point, seed: int, folder: Path) -> None:
        """Open a seed, new or again: with its tags, where it continues from, and its state."""
        before, checkpoints = _state(folder), Checkpoints.of(folder, point.config)
        last = checkpoints.pointed("last")
        steps = last["steps"] if last else 0
        folder.mkdir(exist_ok=True)
        if point.name and not (folder / CONFIG).exists():
            write_text(folder / CONFIG, point.config.to_yaml())
        axes = {"point": point.name, **{f"axis.{key}": value for key, value in point.values.items()}}
        self.tracker.open(
            folder,
            params={**point.config.to_dict(), "seed": seed},
            tags={**self.tags, **(axes if point.name else {}), "seed": seed},
            parent=self.parent,
            resumed_from=steps,
        )
        if last and steps not in {row["steps"] for row in read_jsonl(folder / JOURNAL)}:
            # Killed between the checkpoint and its report.
            self.tracker.log(folder, steps, checkpoints.metrics())
        note(folder, seed=seed)
        state = self._state_now(point, before, steps if last else None)
        if last and not self.plan.searches:
            resumes = "nothing left to train:" if state == FINISHED else "continues from"
            self.display.say(f"{folder.name}: {resumes} {steps:,} of {point.config.steps:,} steps")
        self.reporting.begin(folder, state, before, steps, point)

    def _state_now(self, point: Point, before: str | None, steps: int | None) -> str:
        """Return a seed's state as this session begins, given the steps of its last checkpoint, if any."""
        if self.search.joint:
            return before if before in (FINISHED, PRUNED) else WAITING
        config = point.config
        ended = steps is not None and (steps >= config.steps or not config.learner.trains_on(config.env.spec))
        return FINISHED if ended and before != FAILED else WAITING

    def evaluate(self, point: Point, folders: Iterable[Path]) -> list[Evaluation]:
        """Play checkpoints of a point's seeds and the baselines on the same fresh users; track the results.

        They are the last ones; of what learned from a log the best by estimate, which the simulator did not choose.
        """
        settings, found, env = self.config.evaluation, [], point.config.env.simulator
        if env is None:
            for folder in folders:
                self.reporting.close(folder)
            return []
        last_of = {folder: Checkpoints.of(folder, point.config).final(point.config) for folder in folders}
        if not any(last_of.values()):
            return []  # without waiting for the baselines
        self.display.expect(f"the evaluation on {settings.users:,} users, and the baselines'")
        baselines = (self.baselines or Baselines(settings, env)).result()
        for folder, last in last_of.items():
            if last is None:
                continue
            evaluation = evaluate_checkpoint(
                last, users=settings.users, seed=settings.seed, baselines=settings.baselines, known=baselines
            )
            results, returns = evaluation.to_dict(), evaluation.returns()
            self.tracker.log_evaluation(folder, results, evaluation.headline(), arrays=returns)
            self.reporting.close(folder)
            found.append(evaluation)
        self.display.awaited.cancel()
        return found


def _state(folder: Path) -> str | None:
    """Return how a seed ended, or that it is running; None if it never started."""
    state: str | None = read_seed(folder).get("status")
    return state


def _reason(folder: Path) -> str:
    """Return the line of a seed's error that says why it failed."""
    log = folder / ERROR
    return last_line(log.read_text(encoding="utf-8") if log.exists() else None)
