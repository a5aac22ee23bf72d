"""Play users with a policy and write a data set, with the propensity of every slate.

The policy is a checkpoint's, or that of an algorithm with nothing to learn: random (the default), myopic or oracle. One
row a step, sorted by episode and step, in Parquet; dataset.yaml describes it, behaviour/ holds the policy. Every user
plays one episode. The same command again continues a recording that was interrupted, and writes the same data as if it
had not been. Without explore= most policies are certain of their slates: such a log judges no other policy.

Examples:
    recsys record name=random_1k env=interest_evolution env.slate_size=3
    recsys record name=softened checkpoint=<run id> explore=plackett_luce:2.0 episodes=5000
    recsys record name=mostly_greedy checkpoint=<run id>/last explore=epsilon:0.1 seed=7
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from recsys_cli.config.compose import compose
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.explore import Explore
from recsys_cli.config.imports import without_collection
from recsys_cli.config.overrides import reference
from recsys_cli.config.words import key_of

if TYPE_CHECKING:
    from recsys_cli.config.offline import RecordConfig
    from recsys_cli.evaluation.behaviour import Behaviour


def composed(overrides: list[str]) -> RecordConfig:
    """Return the config; with a checkpoint, its `env` holds the changes to the checkpoint's, and it has no `algo`.

    Raises:
        ConfigError: the request is invalid.
    """
    if reference(overrides, "checkpoint") is None:
        config: RecordConfig = compose("record", overrides)
        return config
    changes = [word for word in overrides if key_of(word).startswith("env.")]
    for word in overrides:
        if (group := key_of(word).partition(".")[0]) in ("env", "algo") and word not in changes:
            keys = "; its keys can be changed, as in env.<key>=<value>" if group == "env" else ""
            raise ConfigError(f"{word}: a checkpoint has its own {group}; leave it out{keys}")
    config = compose("record", [word for word in overrides if word not in changes])
    env = compose("evaluate", ["checkpoint=of_the_recording", *changes]).env
    return dataclasses.replace(config, env=env, algo=None)


def run(overrides: list[str]) -> int:
    """Load the policy, play, write and say what was written.

    Raises:
        ConfigError: the request is invalid.
    """
    config = composed(overrides)
    with without_collection():
        from rich.console import Console

        from recsys_cli.config.notices import warn
        from recsys_cli.offline.recording import record
        from recsys_cli.offline.writer import Writer, alone_in
        from recsys_cli.reporting.progress import Progress
        from recsys_cli.tracking.provenance import versions
    behaviour = _behaviour(config)
    for line in behaviour.warnings():
        warn(line)
    folder = Path(config.data_dir).expanduser() / config.name
    settings = {"episodes": config.episodes, "seed": config.seed, "versions": versions()}
    with alone_in(folder), Progress(config.progress) as show:
        writer = Writer(folder, behaviour.env.spec, {"source": "record", **behaviour.about(), **settings})
        behaviour.keep(folder)
        if behaviour.policy.must_plan(behaviour.env):
            show(f"planning the {behaviour.name}")
        dataset = record(
            writer,
            behaviour.acting,
            behaviour.env,
            episodes=config.episodes,
            seed=config.seed,
            finished=show.counting(config.name, config.episodes),
        )
    size = sum(part.bytes for part in dataset.parts)
    console = Console(highlight=False)
    counts = f"{dataset.episodes:,} episodes, {dataset.steps:,} steps, {size / 1e6:,.1f} MB"
    for line in (f"{folder}: {counts}", f"next: recsys describe data={folder}"):
        console.print(line, soft_wrap=True, markup=False)
    return 0


def _behaviour(config: RecordConfig) -> Behaviour:
    from recsys_cli.evaluation.behaviour import Behaviour
    from recsys_cli.tracking.references import resolve

    explore = Explore.parse(config.explore)
    if config.checkpoint is None:
        return Behaviour.untrained(config.algo, config.env, explore)
    uri = config.tracking.uri if config.tracking.enabled else None
    return Behaviour.of_checkpoint(resolve(config.checkpoint, Path(config.output_dir), uri), explore, config.env)
