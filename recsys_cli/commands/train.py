"""Train an agent on a problem; metrics, config and checkpoints go to MLflow.

Examples:
    recsys train env=interest_evolution algo=slateq
    recsys train env=long_term_satisfaction env.sensitivity=0.2 algo=slateq seeds=5
    recsys train resume=<run id>
    recsys train from=<sweep id>/best seeds=5
"""

from __future__ import annotations

from recsys_cli.config import folders
from recsys_cli.config.compose import compose
from recsys_cli.config.schema import TrainConfig
from recsys_cli.runs.cluster import check_cluster
from recsys_cli.runs.resume import is_resume, resumed_config
from recsys_cli.search.origin import expand

INTERRUPTED = 130


def composed(overrides: list[str]) -> TrainConfig:
    """Return the config of the words."""
    config: TrainConfig = compose("train", expand(overrides))
    return config


def run(overrides: list[str]) -> int:
    """Compose, check, train, and tell how it went.

    Raises:
        ConfigError: anything wrong with the request; nothing was started.
    """
    command = ["recsys", "train", *overrides, *folders.option_words()]
    # Checked before the heavy imports below: a typing error is told at once.
    config, run_dir = resumed_config(overrides) if is_resume(overrides) else (composed(overrides), None)
    check_cluster(config.resources)
    from recsys_cli.runs.driver import train
    from recsys_cli.runs.folder import create_run
    from recsys_cli.runs.report import announce, conclude, continue_command

    run_dir = run_dir or create_run(config, command)
    try:
        announce(config, run_dir)
        return conclude(config, train(config, run_dir, command))
    except KeyboardInterrupt:
        print(f"stopped\n{continue_command(config, run_dir)}")
        return INTERRUPTED
