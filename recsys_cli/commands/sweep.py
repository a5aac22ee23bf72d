"""Search for the settings that train best: many trials, compared, the best one evaluated.

Keys and groups take several values in Hydra's grammar: lists and choice(...), range(...), glob(*), interval(a,b) and
tag(log,interval(a,b)); quote them from the shell. Without any, the algorithm's own space is searched.

Examples:
    recsys sweep env=interest_evolution algo=slateq algo.lr=1e-3,3e-4 algo.discount=0.9,0.99,1.0
    recsys sweep algo=slateq search=hyperband 'algo.lr=tag(log,interval(1e-5,1e-2))' search.trials=30
    recsys sweep algo=slateq,linucb,ppo search.seeds_per_point=3
    recsys sweep resume=<sweep id>
"""

from __future__ import annotations

from recsys_cli.config import folders
from recsys_cli.config.schema import SweepConfig
from recsys_cli.runs.cluster import check_cluster
from recsys_cli.runs.resume import is_resume
from recsys_cli.search.checks import check_sweep
from recsys_cli.search.points import Space

INTERRUPTED = 130


def composed(overrides: list[str]) -> SweepConfig:
    """Return the config that the points share, the axes at their first values."""
    space = Space(overrides)
    check_sweep(space)
    return space.base


def run(overrides: list[str]) -> int:
    """Compose every point, check it, train, and tell what was found.

    Raises:
        ConfigError: anything wrong with the request; nothing was started.
    """
    command = ["recsys", "sweep", *overrides, *folders.option_words()]
    if is_resume(overrides):
        from recsys_cli.search.folder import resumed_sweep

        config, sweep_dir, words = resumed_sweep(overrides)
        # Without it, points are planned, whatever their words would mean today.
        space, points = Space(words) if config.search.changes or config.search.adaptive else None, []
    else:
        # Checked before the heavy imports below: a typing error is told at once.
        space = Space(overrides)
        config, points, sweep_dir = space.base, check_sweep(space), None
    if not config.dry_run:
        check_cluster(config.resources)
    from recsys_cli.reporting.report import announce, conclude, continue_command
    from recsys_cli.search.folder import create_sweep
    from recsys_cli.search.run import Sweep

    if sweep_dir is None and space is not None:
        sweep_dir = None if config.dry_run else create_sweep(config, overrides, command, points)
        announce(config, space, points, sweep_dir)
    if sweep_dir is None:
        return 0
    try:
        return conclude(config, Sweep(config, space, sweep_dir, command).run())
    except KeyboardInterrupt:
        print(f"stopped\n{continue_command(config, sweep_dir)}")
        return INTERRUPTED
