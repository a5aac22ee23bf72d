"""Write a data set as RLlib's episodes, which its offline algorithms read.

Every episode is a SingleAgentEpisode's state, packed by msgpack into Parquet files with one column, item. RLlib needs
the package msgpack-numpy to read them. Observations are those of the problem's env, with dense documents; the
log-probability of a slate is action_logp.

Examples:
    recsys export data=random_1k output=random_1k_rllib
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from recsys_cli.config.compose import compose
from recsys_cli.config.errors import ConfigError

if TYPE_CHECKING:
    from recsys_cli.offline.steps import Steps


def run(overrides: list[str]) -> int:
    """Read the data set, write the episodes, say how RLlib reads them.

    Raises:
        ConfigError: no such data set, it is damaged, or the output is there already.
    """
    config = compose("export", overrides)
    from recsys_cli.files import atomic_dir
    from recsys_cli.offline.dataset import Dataset, find
    from recsys_cli.offline.rllib_formats import write_episodes
    from recsys_cli.reporting.progress import Progress

    dataset = Dataset.open(find(config.data, config.data_dir))
    output = Path(config.output).expanduser()
    if output.exists():
        raise ConfigError(f"output={config.output} is there already: name a new folder")
    with Progress(config.progress) as show, atomic_dir(output) as folder:
        exported = show.counting(f"exporting {dataset.name}", dataset.episodes, "episodes")

        def parts() -> Iterator[Steps]:
            for steps in dataset.batches():
                yield steps
                exported(len(steps.starts))

        count = write_episodes(parts(), dataset.spec, folder)
    print(f"{output}: {count:,} episodes")
    print(f'in RLlib: config.offline_data(input_=["{output.resolve()}"], input_read_episodes=True)')
    return 0
