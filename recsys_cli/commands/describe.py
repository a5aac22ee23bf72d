"""Describe a data set on one screen: what it holds, and what it can be used for.

Rows, clicks, rewards, propensities and drift, and a figure of them; numbers as JSON with output=. The data set is read
once, in constant memory.

Examples:
    recsys describe data=random_1k
    recsys describe data=data/random_1k output=random_1k.json
"""

from __future__ import annotations

from pathlib import Path

from recsys_cli.config.compose import compose
from recsys_cli.config.imports import without_collection


def run(overrides: list[str]) -> int:
    """Read the data set, print, draw, write JSON.

    Raises:
        ConfigError: no such data set, or it is damaged.
    """
    config = compose("describe", overrides)
    with without_collection():
        from rich.console import Console

        from recsys_cli.files import write_json
        from recsys_cli.offline.dataset import Dataset, find
        from recsys_cli.offline.describing import describe
        from recsys_cli.reporting.description import draw, lines
        from recsys_cli.reporting.progress import Progress
    dataset = Dataset.open(find(config.data, config.data_dir))
    with Progress(config.progress) as show:
        description = describe(dataset, show.counting(f"reading {dataset.name}", dataset.episodes, "episodes"))
    console = Console(highlight=False)
    for line in lines(description, str(dataset.folder)):
        console.print(line, soft_wrap=True, markup=False)
    figure = dataset.folder / "describe.svg"
    if config.output:
        output = Path(config.output).expanduser()
        write_json(output, description.to_dict())
        console.print(f"written to {output}", soft_wrap=True, markup=False)
        figure = output.with_suffix(".svg")
    draw(description, dataset.name, figure)
    console.print(f"figure: {figure}", soft_wrap=True, markup=False)
    return 0
