"""Checks of a sweep before anything runs."""

from __future__ import annotations

from collections.abc import Sequence

from recsys_cli.config import resources as machine
from recsys_cli.config.errors import ConfigError, closest
from recsys_cli.config.memory import check_training
from recsys_cli.config.schema import SweepConfig, TrainConfig
from recsys_cli.config.search import RandomSearch, SearchConfig
from recsys_cli.runs.plan import Point
from recsys_cli.search.axes import Axis, Interval
from recsys_cli.search.points import Space

MOST_TRAININGS = 5_000


def check_sweep(space: Space) -> list[Point]:
    """Return the points that a sweep begins with, after all checks possible in advance.

    Raises:
        ConfigError: an invalid point, or a search that does not fit the space.
    """
    config = space.base
    search = config.search
    axes = [axis for branch in space.branches for axis in branch.axes]
    if search.joint:
        for key in {key for branch in space.branches for key in branch.picked} | {axis.key for axis in axes}:
            if key.split(".")[0] == "env":
                raise ConfigError(
                    f"{key}: search={search.name} compares points with each other, and returns of different problems "
                    "cannot be; allowed: search=grid, search=random, or one sweep per problem"
                )
    if search.changes:
        _check_changes(space, axes)
    if search.name == "bohb" and len(space.branches) > 1:
        raise ConfigError("search=bohb takes no axis over a group: its model has one space; allowed: search=optuna")
    _check_words(space)
    _check_processes(config)
    points = space.corners() if search.adaptive else space.points()
    number = search.trials if isinstance(search, RandomSearch) else len(points)
    _check_number(config, number)
    for point in points:
        _check_metric(search, point.config)
    return [] if search.adaptive else points


def _check_metric(search: SearchConfig, config: TrainConfig) -> None:
    """Refuse a metric that the algorithm does not report."""
    name, known = search.metric, config.algo.metrics
    played = [metric for metric in known if metric.startswith("eval/")]
    known += tuple(metric.replace("/", f"/{group}/") for group in config.env.shares for metric in played)
    if name not in known:
        raise ConfigError(
            f"search.metric={name}: algo={config.algo.name} reports no such metric to compare by. Allowed: "
            f"{', '.join(known)}.{closest(name, known)}"
        )
    every, steps = config.evaluation.every, config.steps
    if name.startswith("eval/") and not 0 < every <= steps:
        fifth = max(1, steps // 5)
        reports = f"report_every={fifth} " if fifth < config.report_every else ""
        raise ConfigError(
            f"evaluation.every={every}: search.metric={name} comes from evaluations while training, of which steps="
            f"{steps} would have none: set {reports}evaluation.every={fifth}"
        )


def _check_words(space: Space) -> None:
    """Refuse keys that the search sets."""
    search = space.base.search
    for word in space.plain:
        key = word.lstrip("+").partition("=")[0]
        if search.unit(space.base.steps) and key in ("report_every", "evaluation.every", "checkpoint.every"):
            raise ConfigError(f"{word}: search={search.name} sets it, by search.min_steps or search.perturb_every")


def _check_changes(space: Space, axes: Sequence[Axis]) -> None:
    """Refuse axes that cannot change in a running training."""
    name = space.base.search.name
    if len(space.branches) > 1:
        raise ConfigError(f"search={name} changes values of running trainings, which an axis over a group cannot be")
    allowed = space.base.algo.changeable
    for axis in axes:
        if name == "pb2" and (not isinstance(axis, Interval) or axis.log):
            raise ConfigError(
                f"{axis.key}: search=pb2 takes intervals on a linear scale, no lists and no tag(log, ...); allowed: "
                "search=pbt"
            )
        if axis.key.removeprefix("algo.") not in allowed:
            what = ", ".join(f"algo.{key}" for key in allowed) or "nothing"
            raise ConfigError(
                f"{axis.key} cannot change in a running training, which search={name} does. Allowed: {what}"
            )
    if space.base.checkpoint.keep < 2:
        raise ConfigError(
            f"checkpoint.keep={space.base.checkpoint.keep}: search={name} needs 2, to copy again after a crash what "
            "was copied last"
        )


def _check_number(config: SweepConfig, points: int) -> None:
    """Refuse more trainings than can be planned, and more at once than fit into memory."""
    search, resources = config.search, config.resources
    if points * search.seeds_per_point > MOST_TRAININGS:
        raise ConfigError(
            f"{points:,} points with search.seeds_per_point={search.seeds_per_point} are "
            f"{points * search.seeds_per_point:,} trainings; at most {MOST_TRAININGS:,} are possible"
        )
    if resources.ray_address is None:
        seeds = search.seeds_per_trial
        trials = resources.trials_at_once(seeds) or 1
        check_training(config, min(trials, points * (search.seeds_per_point // seeds)) * seeds)


def _check_processes(config: SweepConfig) -> None:
    """Refuse trials with more processes than there are CPUs and GPUs: a point's seeds may train as one trial."""
    search, resources = config.search, config.resources
    if resources.inline:
        raise ConfigError("resources.inline=true: a sweep's trials run on Ray Tune; inline is for recsys train")
    if resources.ray_address is not None:
        return
    seeds, at_once = search.seeds_per_trial, resources.concurrent_trials or 1
    needs = (
        ("GPU", resources.gpus_per_trial(seeds), machine.machine_gpus() if resources.gpus_per_learner else 0),
        ("CPU", at_once * resources.cpus_per_trial(seeds), resources.num_cpus or machine.machine_cpus()),
    )
    for unit, needed, there in needs:
        if needed > there:
            trials = f" in each of resources.concurrent_trials={at_once}" if unit == "CPU" and at_once > 1 else ""
            raise ConfigError(
                f"search.seeds_per_point={search.seeds_per_point} train as one trial with search={search.name}; with "
                f"their runners and learners they need {needed:g} {unit}s{trials}, there are {there}: use "
                "resources=laptop, or fewer seeds"
            )
