"""RLlib's formats of logged data: its episodes, in and out, and its old JSON of sample batches, in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.structured import to_plain
from recsys_cli.envs.base import EnvConfig
from recsys_cli.files import atomic_dir
from recsys_cli.offline.dataset import Dataset
from recsys_cli.offline.rllib_formats.batches import read_json_batches
from recsys_cli.offline.rllib_formats.episodes import read_episodes, write_episodes
from recsys_cli.offline.writer import Writer

__all__ = ["READERS", "import_files", "read_episodes", "read_json_batches", "write_episodes"]

READERS = {"rllib_json": read_json_batches, "rllib_episodes": read_episodes}


def import_files(kind: str, files: Sequence[Path], env: EnvConfig, folder: Path) -> Dataset:
    """Make a data set of RLlib's files.

    Args:
        kind: one of `READERS`.
        files: to be read.
        env: the problem that was played.
        folder: of the data set, which is there whole or not at all.

    Raises:
        ConfigError: the folder is there, or something else is in the files.
    """
    if folder.exists():
        raise ConfigError(f"name={folder.name}: {folder} is there already; give the data set another name or remove it")
    about = {"source": "import", "format": kind, "files": list(map(str, files)), "env": to_plain(env)}
    with atomic_dir(folder) as whole:
        writer = Writer(whole, env.spec, about)
        for steps in READERS[kind](files, env.spec):
            writer.write(steps)
        if not writer.episodes:
            raise ConfigError(f"data={', '.join(map(str, files))}: there is no episode")
        writer.finish()
    return Dataset.open(folder)
