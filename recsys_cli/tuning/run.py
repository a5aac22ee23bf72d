"""`recsys train` as a function: one Tune run of one trial a seed, tracked, resumable, evaluated at the end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recsys_cli.config.resources import ResourcesConfig
from recsys_cli.config.schema import EvaluationSettings, TrainConfig
from recsys_cli.evaluation.checkpoint import Evaluation, evaluate_checkpoint
from recsys_cli.evaluation.compare import Score, score_baselines
from recsys_cli.tracking.files import read_json, read_jsonl, update_json
from recsys_cli.tracking.folder import JOURNAL
from recsys_cli.tracking.provenance import git_commit, versions
from recsys_cli.tracking.tracker import Tracker
from recsys_cli.tuning.callbacks import FAILED, FINISHED, STOPPED, Reporting
from recsys_cli.tuning.folder import Checkpoints, keep_config, trial_dirs
from recsys_cli.tuning.progress import Progress
from recsys_cli.tuning.session import ray_session
from recsys_cli.tuning.spec import TrialSpec, folders_of
from recsys_cli.tuning.stopping import OnRequest, stop_on_interrupt


@dataclass
class TrainResult:
    """How a training ended.

    Attributes:
        run_dir: its folder.
        states: finished, stopped or failed, by trial folder.
        evaluations: the final evaluation of each finished trial.
        errors: last line of what went wrong, by failed trial.
    """

    run_dir: Path
    states: dict[Path, str] = field(default_factory=dict)
    evaluations: dict[Path, Evaluation] = field(default_factory=dict)
    errors: dict[Path, str] = field(default_factory=dict)

    @property
    def stopped(self) -> bool:
        """Whether it was stopped before its end."""
        return STOPPED in self.states.values()


class Baselines:
    """The baselines' scores, played in a thread while Ray starts and trains."""

    def __init__(self, config: TrainConfig, progress: Progress) -> None:
        """Start playing."""
        self.config, self.progress = config, progress
        self.scores: list[Score] = []
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self._play, daemon=True)
        self.thread.start()

    def _play(self) -> None:
        settings = self.config.evaluation
        try:
            self.scores = score_baselines(settings.baselines, self.config.env, settings.users, settings.seed)
            self.progress.set_references({score.policy: score.returns.mean for score in self.scores})
        except Exception as error:  # raised again in the thread that asks for the scores
            self.error = error

    def result(self) -> list[Score]:
        """Wait for the scores."""
        self.thread.join()
        if self.error is not None:
            raise self.error
        return self.scores


def train(config: TrainConfig, run_dir: Path, command: list[str]) -> TrainResult:
    """Train every seed of `config` in `run_dir`, going on from the checkpoints that are there.

    Args:
        config: resolved.
        run_dir: made by `folder.create_run`.
        command: the words typed, for the record.
    """
    folders = trial_dirs(run_dir, config)
    result = TrainResult(run_dir, dict.fromkeys(folders.values(), FINISHED))
    progress = Progress(config.progress, config.env_steps, [folder.name for folder in folders.values()])
    with make_tracker(config, run_dir, progress.say) as tracker, noted_ends(folders.values()):
        keep_config(run_dir, config)
        about = origin_tags(command)
        for seed, folder in folders.items():
            open_member(tracker, config, seed, folder, about, run_dir if len(folders) > 1 else None)
        waiting = [seed for seed, folder in folders.items() if is_unfinished(config, folder, progress.say)]
        with progress:
            baselines = Baselines(config, progress)
            if waiting:
                reporting = Reporting(tracker, progress)
                stopper = OnRequest(idle=lambda: reporting.idle)
                trials = [TrialSpec(config, {seed: folders[seed]}) for seed in waiting]
                with ray_session(config.resources, run_dir), stop_on_interrupt(stopper, progress.say):
                    result.errors = run_trials(trials, run_dir, config, reporting, stopper)
                result.states |= {folders[seed]: reporting.states.get(folders[seed], STOPPED) for seed in waiting}
                result.states |= dict.fromkeys(result.errors, FAILED)
        finish_trials(config, result, tracker, baselines)
    return result


@contextmanager
def noted_ends(folders: Iterable[Path]) -> Iterator[None]:
    """Note in every trial that is cut short by an exception how it ended."""
    try:
        yield
    except BaseException as error:
        for folder in folders:
            trial = read_json(folder / "trial.json", default={})
            if trial.get("status") == "running":
                note(folder, status=FAILED if isinstance(error, Exception) else STOPPED)
        raise


def is_unfinished(config: TrainConfig, folder: Path, say: Callable[[str], None]) -> bool:
    """Whether a trial has something left to do; tells where one goes on, or that it does not."""
    last = Checkpoints(folder / "checkpoints", config.checkpoint.keep).pointed("last")
    if last is None:
        return True
    done, steps = last["env_steps"], f"{last['env_steps']:,} of {config.env_steps:,} env steps"
    unfinished = done < config.env_steps and config.algo.trains_on(config.env.spec)
    say(f"{folder.name}: {'goes on from' if unfinished else 'nothing left to train:'} {steps}")
    return unfinished


def make_tracker(config: TrainConfig, run_dir: Path, say: Callable[[str], None]) -> Tracker:
    """Return the run's tracker."""
    tracking = config.tracking
    return Tracker(
        run_dir,
        enabled=tracking.enabled,
        uri=tracking.uri,
        experiment=tracking.experiment,
        register_model=tracking.register_model,
        say=say,
    )


def origin_tags(command: list[str]) -> dict[str, Any]:
    """Return the tags that say what was typed, and with which code."""
    return {"command": " ".join(command), "git_commit": git_commit(Path.cwd()), "versions": versions()}


def open_member(
    tracker: Tracker, config: TrainConfig, seed: int, folder: Path, tags: Mapping[str, Any], parent: Path | None
) -> None:
    """Open (or reopen) a member with its params and tags."""
    folder.mkdir(exist_ok=True)
    checkpoints = Checkpoints(folder / "checkpoints", config.checkpoint.keep)
    last = checkpoints.pointed("last")
    tracker.open_trial(
        folder,
        params={**config.to_dict(), "seed": seed},
        tags={**tags, "seed": seed},
        parent=parent,
        resumed_from=last["env_steps"] if last else 0,
    )
    if last and last["env_steps"] not in {row["env_steps"] for row in read_jsonl(folder / JOURNAL)}:
        # Killed between the checkpoint and its report.
        tracker.log(folder, last["env_steps"], checkpoints.metrics())
    note(folder, seed=seed, status="running")


def run_trials(
    trials: Sequence[TrialSpec] | Any,
    run_dir: Path,
    config: TrainConfig,
    reporting: Reporting,
    stopper: OnRequest,
    members: int = 1,
    **search: Any,
) -> dict[Path, str]:
    """Run trials by Ray Tune; returns what went wrong, by the folders of those that failed.

    Args:
        trials: all of them, or one of Tune's searchers that gives them one by one.
        run_dir: the run's or sweep's folder.
        config: of any trial: resources are the same for all.
        reporting: gets every report.
        stopper: is asked after every report.
        members: seeds of one trial.
        search: more arguments of `tune.run`.
    """
    from ray import tune

    from recsys_cli.tuning.trial import TrainingTrial

    given = isinstance(trials, Sequence)
    what = {"config": tune.grid_search([trial.to_tune() for trial in trials])} if given else {"search_alg": trials}
    # Tune's own result table and checkpoints are off: `Reporting` and `TrainingTrial` do both. `tune.run` and not
    # `Tuner`, which would pickle the callback with the tracker in it.
    analysis = tune.run(
        tune.with_resources(TrainingTrial, trial_resources(config.resources, members)),
        name="tune",
        storage_path=str(run_dir),
        trial_dirname_creator=_short_name,
        callbacks=[reporting],
        stop=stopper,
        checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0),
        raise_on_failed_trial=False,
        reuse_actors=True,  # a new process would spend seconds importing
        verbose=0,
        **what,
        **{"max_failures": 1, "max_concurrent_trials": config.resources.concurrent_trials, **search},
    )
    return {
        folder: last_line(trial.get_error())
        for trial in analysis.trials
        if trial.status == "ERROR"
        for folder in folders_of(trial)
    }


def trial_resources(resources: ResourcesConfig, members: int = 1) -> Any:
    """Return the bundles of one trial: its own process, and its members' runners, evaluation runners and learners."""
    from ray.tune import PlacementGroupFactory

    own = {"CPU": 1.0}
    if resources.gpus_per_learner and not resources.learners:
        own["GPU"] = resources.gpus_per_learner
    learner = {"CPU": 1.0, **({"GPU": resources.gpus_per_learner} if resources.gpus_per_learner else {})}
    runners = [{"CPU": 1.0}] * (resources.env_runners + resources.evaluation_runners)
    return PlacementGroupFactory([own, *members * [*runners, *[learner] * resources.learners]])


def _short_name(trial: Any) -> str:
    return folders_of(trial)[0].name


def last_line(error: BaseException | str | None) -> str:
    """Return the line of a remote traceback that says what happened."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else repr(error)


def finish_trials(config: TrainConfig, result: TrainResult, tracker: Tracker, baselines: Baselines) -> None:
    """Evaluate the finished trials' last checkpoints on fresh users, and close every trial."""
    for folder, state in result.states.items():
        checkpoints = Checkpoints(folder / "checkpoints", config.checkpoint.keep)
        # Those written when it was stopped, or just before it was killed, were never reported.
        for alias in ("best", "last"):
            if (path := checkpoints.path(alias)) is not None:
                tracker.upload_bundle(folder, path, alias)
        if state == FINISHED:
            last = checkpoints.path("last")
            assert last is not None, f"{folder} finished without a checkpoint"
            result.evaluations[folder] = evaluate_last(config.evaluation, folder, last, tracker, baselines.result())
        note(folder, status=state)
        tracker.set_status(folder, state)


def evaluate_last(
    settings: EvaluationSettings, folder: Path, last: Path, tracker: Tracker, baselines: Sequence[Score]
) -> Evaluation:
    """Play a member's last checkpoint on fresh users, beside the baselines' scores on the same, and track it."""
    evaluation = evaluate_checkpoint(
        last, users=settings.users, seed=settings.seed, baselines=settings.baselines, known=baselines
    )
    tracker.log_evaluation(folder, evaluation.to_dict(), evaluation.headline())
    return evaluation


def note(folder: Path, **values: Any) -> None:
    """Put values into a trial's `trial.json`."""
    update_json(folder / "trial.json", lambda trial: trial.update(values))


def trial_ids(folder: Path) -> tuple[str, str | None]:
    """Return a trial's local id and its MLflow run id, if it has one."""
    trial = read_json(folder / "trial.json", default={}) or {}
    return trial["id"], trial.get("mlflow_run_id")
