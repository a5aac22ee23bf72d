"""Train an agent on a problem; metrics, config and checkpoints go to MLflow.

With data= it learns from a data set instead of playing, and env, if named, is only played to evaluate.

Examples:
    recsys train env=interest_evolution algo=slateq
    recsys train env=long_term_satisfaction env.sensitivity=0.2 algo=slateq seeds=5
    recsys train algo=lspi data=<data set>
    recsys train resume=<run id>
    recsys train from=<sweep id>/best seeds=5
    recsys train data=<data set> from=models:/slateq@champion
"""

from __future__ import annotations

from pathlib import Path

from recsys_cli.config import folders
from recsys_cli.config.compose import compose
from recsys_cli.config.imports import without_collection
from recsys_cli.config.schema import TrainConfig
from recsys_cli.runs.cluster import check_cluster
from recsys_cli.runs.resume import is_resume, resumed
from recsys_cli.search.origin import expand


def composed(overrides: list[str]) -> TrainConfig:
    """Return the config composed from the overrides, or a continued run's."""
    return resumed(overrides, "train")[0] if is_resume(overrides) else _started(overrides)[0]


def _started(overrides: list[str]) -> tuple[TrainConfig, Path | None]:
    """Return the config of a new run, and the bundle from whose parameters it starts."""
    origin = expand(overrides)
    config: TrainConfig = compose("train", origin.words)
    origin.check(config)
    return config, origin.start


def run(overrides: list[str]) -> int:
    """Compose, check, train, and print the results.

    Raises:
        ConfigError: the request is invalid; nothing was started.
    """
    command = ["recsys", "train", *overrides, *folders.option_words()]
    # Checked before the heavy imports below: a typo is reported at once.
    run_dir = start = None
    if is_resume(overrides):
        config, run_dir = resumed(overrides, "train")
    else:
        config, start = _started(overrides)
    check_cluster(config.resources)
    from recsys_cli.runs.display import announce_training, hints
    from recsys_cli.runs.folder import create_run
    from recsys_cli.runs.plan import Plan
    from recsys_cli.runs.session import begin

    plan, new = Plan(config), run_dir is None
    run_dir = run_dir or create_run(config, "train", command, start, seeds=plan.seed_names())
    announce_training(config, run_dir)
    if new:  # of a continued run, nothing may be left to train
        begin(config.resources, config.seeds, 1, hints(config.progress))
    with without_collection():
        if config.resources.inline:
            pass
        from recsys_cli.reporting.report import execute

    return execute(config, plan, run_dir, command)
