"""Continuing a run: its own config, with the few keys that may change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from recsys_cli.config import own_classes
from recsys_cli.config.compose import merge_changes
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.overrides import read
from recsys_cli.config.resources import check_resources
from recsys_cli.config.schema import TrainConfig
from recsys_cli.tracking.files import read_json
from recsys_cli.tracking.folder import CONFIG
from recsys_cli.tracking.local_runs import RUN
from recsys_cli.tracking.references import resolve_run

CHANGEABLE = ("env_steps", "progress", "evaluation", "checkpoint", "output_dir", "resources", "resume")
FIXED = ("resources.users_per_runner",)  # the users go on as they stand


def is_resume(words: list[str]) -> bool:
    """Whether the words ask for a run to be continued."""
    return any(word.lstrip("+").startswith("resume=") and word.partition("=")[2] not in ("", "null") for word in words)


def resumed_config(words: list[str]) -> tuple[TrainConfig, Path]:
    """Return the config and the folder of the run to continue.

    Raises:
        ConfigError: no such run, or a key that a continued run cannot change.
    """
    request = read(words, "train")
    if request.options:
        group = next(iter(request.options))
        raise ConfigError(f"{group}={request.options[group]}: a continued run keeps its {group}; {_allowed()}")
    for key, _ in request.values:
        if key.split(".")[0] not in CHANGEABLE or key in FIXED:
            raise ConfigError(f"{key}: a continued run keeps its {key}; {_allowed()}")
    asked = dict(request.values)
    run_dir = resolve_run(str(asked.pop("resume")), Path(asked.pop("output_dir", "runs")))
    values: dict[str, Any] = merge_changes(read_config(run_dir), list(asked.items()))
    with own_classes.remembering(read_json(run_dir / RUN, default={}).get("config_path")):
        config = TrainConfig.from_dict(values)
    check_resources(config.resources, config.framework)
    config.algo.check_resources(config.resources, config.framework)
    return config, run_dir


def _allowed() -> str:
    return (
        "what may change beside resume=: env_steps, progress, evaluation.<key>, checkpoint.<key>, resources.<key> "
        f"(not {', '.join(FIXED)})"
    )


def read_config(run_dir: Path) -> dict[str, Any]:
    """Return a run's resolved config as plain values.

    Raises:
        ConfigError: the folder has none.
    """
    try:
        values = yaml.safe_load((run_dir / CONFIG).read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{run_dir} cannot be resumed: {CONFIG} cannot be read ({error})") from None
    return dict(values)
