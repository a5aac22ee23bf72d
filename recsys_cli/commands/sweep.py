"""Search for the best settings: train many points, compare them, evaluate the best.

Keys and groups take several values in Hydra's grammar: lists and choice(...), range(...), glob(*), interval(a,b) and
tag(log,interval(a,b)); quote them for the shell. Without any, the algorithm's own space is searched.

Examples:
    recsys sweep env=interest_evolution algo=slateq algo.lr=1e-3,3e-4 algo.discount=0.9,0.99,1.0
    recsys sweep algo=slateq search=hyperband 'algo.lr=tag(log,interval(1e-5,1e-2))' search.trials=30
    recsys sweep algo=slateq,linucb,ppo search.seeds_per_point=3
    recsys sweep resume=<sweep id>
"""

from __future__ import annotations

from pathlib import Path

from recsys_cli.config import folders
from recsys_cli.config.imports import without_collection
from recsys_cli.config.schema import SweepConfig
from recsys_cli.config.search import RandomSearch
from recsys_cli.runs.cluster import check_cluster
from recsys_cli.runs.resume import is_resume, resumed
from recsys_cli.search.checks import check_sweep
from recsys_cli.search.points import Space


def composed(overrides: list[str]) -> SweepConfig:
    """Return the points' shared config, the axes at their first values; or a continued sweep's."""
    if is_resume(overrides):
        config: SweepConfig = resumed(overrides, "sweep")[0]
        return config
    space = Space(overrides)
    check_sweep(space)
    return space.base


def run(overrides: list[str]) -> int:
    """Compose and check every point, train, and print the results.

    Raises:
        ConfigError: the request is invalid; nothing was started.
    """
    command = ["recsys", "sweep", *overrides, *folders.option_words()]
    if is_resume(overrides):
        config, sweep_dir = resumed(overrides, "sweep")
        check_cluster(config.resources)
        return _execute(config, None, sweep_dir, command)
    # Checked before the heavy imports below: a typo is reported at once.
    space = Space(overrides)
    config, points = space.base, check_sweep(space)
    if not config.dry_run:
        check_cluster(config.resources)
    from recsys_cli.reporting.announce import announce_search
    from recsys_cli.runs.display import hints
    from recsys_cli.runs.session import begin
    from recsys_cli.search.plan import create_sweep

    run_dir = None if config.dry_run else create_sweep(config, overrides, command, points)
    announce_search(config, space, points, run_dir)
    if run_dir is not None:
        trials = config.search.trials if isinstance(config.search, RandomSearch) else len(points)
        begin(config.resources, trials, config.search.seeds_per_trial, hints(config.progress))
    return 0 if run_dir is None else _execute(config, space, run_dir, command)


def _execute(config: SweepConfig, space: Space | None, run_dir: Path, command: list[str]) -> int:
    with without_collection():
        from recsys_cli.reporting.report import execute
    from recsys_cli.search.plan import SearchPlan

    return execute(config, SearchPlan(config, space, run_dir), run_dir, command)
