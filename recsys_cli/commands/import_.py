"""Make a data set of your own log: CSV, Parquet or JSON lines.

A mapping yaml says which column is what: session, step or time, user features, candidates, slate, clicks, reward,
propensity (recsys_cli/offline/importing/mapping.py lists all keys). --guess writes a first one from the columns. Rows
that cannot be right are refused, counted and kept in a side file with the reason. The data set is in <data_dir>/<name>,
whole or not at all, with import_report.json beside the data. RLlib's own files need no mapping but the problem that was
played: its old JSON of sample batches, and Parquet files of its episodes.

Examples:
    recsys import --guess clicks.csv
    recsys import mapping=clicks.mapping.yaml data=clicks.csv name=clicks
    recsys import mapping=shop.yaml 'data=logs/2026-11-*.parquet' name=shop
    recsys import format=rllib_json 'data=out/*.json' env=interest_evolution env.num_candidates=20 name=old
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from recsys_cli.config.compose import compose
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.words import take_option

if TYPE_CHECKING:
    from recsys_cli.config.offline import ImportConfig

GUESS = "--guess"


def run(overrides: list[str]) -> int:
    """Import a log, or guess a mapping.

    Raises:
        ConfigError: the request, the mapping or the log is invalid.
    """
    rest, asked = take_option(overrides, GUESS)
    if asked:
        return _guess(asked, rest)
    config = compose("import", overrides)
    folder = Path(config.data_dir).expanduser() / config.name
    if config.format != "mapping":
        return _from_rllib(config, folder)
    from recsys_cli.offline.importing.mapping import load_mapping
    from recsys_cli.offline.importing.readers import expand

    path = Path(config.mapping).expanduser()
    mapping, files = load_mapping(path), expand(config.data)
    from recsys_cli.offline.importing.log import import_log

    dataset, report = import_log(
        mapping,
        files,
        folder,
        beside=path.parent,
        rows_in_memory=config.rows_in_memory,
        show=partial(print, flush=True),
    )
    for line in report.lines():
        print(line)
    print(f"written to {dataset.folder}")
    print(f"next: recsys describe data={folder}")
    return 0


def _from_rllib(config: ImportConfig, folder: Path) -> int:
    from recsys_cli.offline.importing.readers import expand
    from recsys_cli.offline.rllib_formats import import_files

    dataset = import_files(config.format, expand(config.data), config.env, folder)
    print(f"{folder}: {dataset.episodes:,} episodes, {dataset.steps:,} steps")
    print(f"next: recsys describe data={folder}")
    return 0


def _guess(files: list[str], rest: list[str]) -> int:
    if rest or len(files) != 1 or not files[0]:
        raise ConfigError(f"{GUESS} takes one file and nothing else, as in 'recsys import {GUESS} clicks.csv'")
    from recsys_cli.offline.importing.guess import guess

    for line in guess(Path(files[0]).expanduser()):
        print(line)
    return 0
