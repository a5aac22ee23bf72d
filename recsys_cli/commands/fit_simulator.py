"""Learn users from a log, and write them as a problem of your own.

Choice, response, reward, length of sessions and drift of users are fitted by likelihood; held-out sessions decide
which form each takes. What comes of it is a folder with a yaml and its tensors: env=<name> of every command with
--config-dir <folder>. Held-out sessions are compared with simulated ones under the policy that logged, and what the
simulator must not be trusted for is said in words, on the screen and in <name>.json.

Examples:
    recsys fit-simulator data=random_1k name=my_users
    recsys train --config-dir simulators env=my_users algo=slateq
    recsys fit-simulator data=random_1k name=my_users_2 choice=learned folder=elsewhere
"""

from __future__ import annotations

from pathlib import Path

from recsys_cli.config import catalog
from recsys_cli.config.compose import compose
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.imports import without_collection


def run(overrides: list[str]) -> int:
    """Fit, check, write and print.

    Raises:
        ConfigError: the request is invalid, or users cannot be learned from the log.
    """
    config = compose("fit-simulator", overrides)
    folder = Path(config.folder).expanduser()
    with without_collection():
        from rich.console import Console

        from recsys_cli.evaluation.behaviour import behaviour_of
        from recsys_cli.offline.dataset import Dataset, find
        from recsys_cli.offline.simulator.check import check
        from recsys_cli.offline.simulator.files import option_file, write
        from recsys_cli.offline.simulator.fit import fit_simulator, sample
        from recsys_cli.reporting.simulator import checks_table, draw, forms_table
    if option_file(folder, config.name).exists() or config.name in catalog.option_names("env"):
        raise ConfigError(f"name={config.name}: env={config.name} already exists: give the new one another name")
    dataset = Dataset.open(find(config.data, config.data_dir))
    behaviour = behaviour_of(dataset)
    steps = sample(dataset, config.rows, config.seed)
    fitted = fit_simulator(steps, dataset.spec, config.choice)
    checked = check(fitted, behaviour, sessions=config.sessions, seed=config.seed)
    draw(folder / f"{config.name}.svg", fitted, checked)
    write(folder, config.name, dataset.name, fitted, checked)
    console = Console(highlight=False)
    console.print(forms_table(fitted))
    console.print(checks_table(checked))
    for line in checked.verdict:
        console.print(f"- {line}", soft_wrap=True, markup=False)
    console.print(f"written to {option_file(folder, config.name)}", soft_wrap=True, markup=False)
    console.print(
        f"next: recsys train --config-dir {folder} env={config.name} algo=slateq", soft_wrap=True, markup=False
    )
    return 0
