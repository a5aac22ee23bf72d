"""A training in this process, without Ray (`resources=inline`): seed after seed, the same reports and files."""

from __future__ import annotations

import traceback
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ray

from recsys_cli.runs.callbacks import Reporting
from recsys_cli.runs.ray_private import quiet_logs
from recsys_cli.runs.seed import Report, SeedTraining
from recsys_cli.runs.trial import TrialSpec


def run_inline(trials: Sequence[TrialSpec], reporting: Reporting, retries: int) -> None:
    """Run trials of one seed each, one after another.

    Args:
        trials: all of them.
        reporting: gets every report, then decides whether to stop.
        retries: of a failed trial, each from its last checkpoint.
    """
    quiet_logs()
    with without_ray():
        for trial in trials:
            if reporting.stopper.requested:
                return
            _run(trial, reporting, retries)


def _run(trial: TrialSpec, reporting: Reporting, retries: int) -> None:
    folders = list(trial.seeds.values())
    reporting.started(folders)
    reports = _train(trial, reporting)
    try:
        while True:
            try:
                report = next(reports, None)
            except Exception as error:
                if not retries:
                    reporting.failed(folders, traceback.format_exc(), error)
                    return
                retries, reports = retries - 1, _train(trial, reporting)
                continue
            if report is None:
                reporting.completed(folders)
                return
            # Not in the `try`: a report that cannot be kept, as on a full disk, is no failure of the training.
            reporting.reported(folders, {"reports": [vars(report)], "point": {}})
    finally:
        reports.close()


def _train(trial: TrialSpec, reporting: Reporting) -> Generator[Report, None, None]:
    ((number, folder),) = trial.seeds.items()
    seed = SeedTraining(trial.config, number, folder)
    try:
        finished = False
        while not finished and not reporting.stopper.requested:
            report = seed.report()
            yield report
            finished = report.finished
    finally:
        seed.stop()


@contextmanager
def without_ray() -> Iterator[None]:
    """Let RLlib do without Ray in this block: without runners and learners of their own, nothing goes to its store."""

    def same(value: Any, **_: Any) -> Any:
        return value

    def init(**_: Any) -> None:
        raise RuntimeError("resources=inline trains without Ray, which this algorithm starts; use resources=laptop")

    before = ray.put, ray.get, ray.init
    ray.put, ray.get, ray.init = same, same, init
    try:
        yield
    finally:
        ray.put, ray.get, ray.init = before
