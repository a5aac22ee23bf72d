"""Continuing a run: its own config, with the few keys that may change."""

from __future__ import annotations

from collections.abc import Sequence
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
from recsys_cli.tracking.local_runs import RUN, SWEEP
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
    changes, run_dir = read_changes(words, "train", "run", CHANGEABLE)
    if (run_dir / SWEEP).exists():
        raise ConfigError(f"resume={run_dir.name} is a sweep: recsys sweep resume={run_dir.name}")
    with own_classes.remembering(read_json(run_dir / RUN, default={}).get("config_path")):
        config = TrainConfig.from_dict(merge_changes(read_config(run_dir), changes))
    check_resources(config.resources, config.framework)
    config.algo.check_resources(config.resources, config.framework)
    return config, run_dir


def read_changes(
    words: list[str], root: str, what: str, changeable: Sequence[str]
) -> tuple[list[tuple[str, Any]], Path]:
    """Return what the words change in the run or sweep that they continue, and its folder.

    Args:
        words: behind the command, `resume=` among them.
        root: the command.
        what: it continues, in words.
        changeable: keys that may change, `resume` and `output_dir` among them.

    Raises:
        ConfigError: no such run, or a key that it cannot change.
    """
    allowed = ", ".join(
        f"{key}.<key>" if key in ("evaluation", "checkpoint", "resources") else key
        for key in changeable
        if key not in ("resume", "output_dir")
    )
    hint = f"what may change beside resume=: {allowed} (not {', '.join(FIXED)})"
    request = read(words, root)
    if request.options:
        group = next(iter(request.options))
        raise ConfigError(f"{group}={request.options[group]}: a continued {what} keeps its {group}; {hint}")
    for key, _ in request.values:
        if not {key, key.split(".")[0]} & set(changeable) or key in FIXED:
            raise ConfigError(f"{key}: a continued {what} keeps its {key}; {hint}")
    asked = dict(request.values)
    folder = resolve_run(str(asked.pop("resume")), Path(asked.pop("output_dir", "runs")))
    return list(asked.items()), folder


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
