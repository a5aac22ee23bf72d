"""Running trials on Ray Tune, and the resources of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recsys_cli.config.resources import ResourcesConfig
from recsys_cli.runs.callbacks import Reporting
from recsys_cli.runs.ray_private import no_telemetry, trials_without_environment
from recsys_cli.runs.trial import TrialSpec, folders_of


def run_trials(
    trials: Sequence[TrialSpec] | Any,
    run_dir: Path,
    resources: ResourcesConfig,
    reporting: Reporting,
    seeds: int = 1,
    **search: Any,
) -> None:
    """Run trials by Ray Tune.

    Args:
        trials: all of them, or one of Tune's searchers that proposes them one by one.
        run_dir: the run's folder.
        resources: of each trial.
        reporting: gets every report, then decides whether to stop.
        seeds: of one trial.
        search: more arguments of `tune.run`.
    """
    from ray import tune

    from recsys_cli.runs.trial import TrainingTrial

    no_telemetry()
    if resources.ray_address is None:
        trials_without_environment()
    given = isinstance(trials, Sequence)
    what = {"config": tune.grid_search([trial.to_tune() for trial in trials])} if given else {"search_alg": trials}
    # Tune's own result table and checkpoints are off: `Reporting` and `TrainingTrial` do both. `tune.run` and not
    # `Tuner`, which would pickle the callback with the tracker in it.
    tune.run(
        tune.with_resources(TrainingTrial, trial_resources(resources, seeds)),
        name="tune",
        storage_path=str(run_dir),
        trial_dirname_creator=lambda trial: folders_of(trial)[0].name,
        callbacks=[reporting],
        stop=reporting.stopper,
        checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0),
        raise_on_failed_trial=False,
        reuse_actors=True,  # a new process would spend seconds importing
        verbose=0,
        **what,
        **{"max_concurrent_trials": resources.concurrent_trials, **search},
    )


def trial_resources(resources: ResourcesConfig, seeds: int = 1) -> Any:
    """Return the bundles of one trial: its own process, and its seeds' runners, evaluation runners and learners."""
    from ray.tune import PlacementGroupFactory

    own = {"CPU": 1.0}
    if resources.gpus_per_learner and not resources.learners:
        own["GPU"] = resources.gpus_per_learner
    learner = {"CPU": 1.0, **({"GPU": resources.gpus_per_learner} if resources.gpus_per_learner else {})}
    runners = [{"CPU": 1.0}] * (resources.env_runners + resources.evaluation_runners)
    return PlacementGroupFactory([own, *seeds * [*runners, *[learner] * resources.learners]])
