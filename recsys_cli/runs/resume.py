"""Continuing a run: its own config, with the few keys that may change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from recsys_cli.config import own_classes
from recsys_cli.config.compose import check_machine, merge_changes
from recsys_cli.config.errors import ConfigError, one_line
from recsys_cli.config.overrides import read, reference
from recsys_cli.config.paths import show_path
from recsys_cli.config.schema import SweepConfig, TrainConfig
from recsys_cli.files import read_if_sound, read_json
from recsys_cli.offline.dataset import NoDataError
from recsys_cli.tracking.folder import CONFIG
from recsys_cli.tracking.local_runs import RUN, SWEEP
from recsys_cli.tracking.provenance import of_another_version
from recsys_cli.tracking.references import resolve_run

BUDGET = ("search.max_steps", "search.max_seconds", "search.on_failure")
CHANGEABLE = {
    "train": ("steps", "progress", "evaluation", "checkpoint", "resources"),
    "sweep": (*BUDGET, "progress", "resources"),
}
FIXED = ("resources.users_per_runner",)  # the users continue in their current state
SECTIONS = ("evaluation", "checkpoint", "resources")
SCHEMAS: dict[str, type[TrainConfig]] = {"train": TrainConfig, "sweep": SweepConfig}


def is_resume(words: list[str]) -> bool:
    """Whether the overrides resume a run.

    Raises:
        ConfigError: `resume=` is empty.
    """
    return reference(words, "resume") is not None


def resumed(words: list[str], root: str) -> tuple[Any, Path]:
    """Return the config and the folder of the run to continue.

    Args:
        words: the command's overrides, including `resume=`.
        root: the command, train or sweep.

    Raises:
        ConfigError: no such run, a run of the other command, or a key that a continued run cannot change.
    """
    changes, run_dir = _read_changes(words, root)
    if (run_dir / SWEEP).exists() != (root == "sweep"):
        what, other = ("a run, not a sweep", "train") if root == "sweep" else ("a sweep", "sweep")
        raise ConfigError(f"resume={run_dir.name} is {what}: use recsys {other} resume={run_dir.name}")
    stored = _read_config(run_dir)
    with remembered_classes(run_dir):
        try:
            config = SCHEMAS[root].from_dict(merge_changes(stored, changes))
        except ConfigError:
            _check_stored(run_dir, stored, SCHEMAS[root])
            raise
    if Path(config.output_dir).expanduser().resolve() != run_dir.parent:  # moved, or resumed from another folder
        config = replace(config, output_dir=show_path(run_dir.parent))
    check_machine(config)
    return config, run_dir


def _check_stored(run_dir: Path, stored: dict[str, Any], schema: type[TrainConfig]) -> None:
    """Refuse a run's config as it is, without changes, if this version does not take it."""
    try:
        schema.from_dict(stored)
    except (own_classes.NotInFoldersError, NoDataError):
        raise
    except ConfigError as error:
        raise of_another_version(run_dir / CONFIG, read_if_sound(run_dir / RUN), error) from None


def remembered_classes(run_dir: Path) -> Any:
    """Return a context in which the user's own classes are found where they were when the run began."""
    return own_classes.remembering(read_json(run_dir / RUN, default={}).get("config_path"))


def _read_changes(words: Sequence[str], root: str) -> tuple[list[tuple[str, Any]], Path]:
    """Return the changes to the resumed run, and its folder."""
    changeable, what = CHANGEABLE[root], "sweep" if root == "sweep" else "run"
    allowed = ", ".join(f"{key}.<key>" if key in SECTIONS else key for key in changeable)
    hint = f"with resume= these may change: {allowed} (not {', '.join(FIXED)})"
    request = read(list(words), root)
    if request.options:
        group = next(iter(request.options))
        raise ConfigError(f"{group}={request.options[group]}: a continued {what} keeps its {group}; {hint}")
    asked = {key: value for key, value in request.values if key not in ("resume", "output_dir")}
    for key in asked:
        if not {key, key.split(".")[0]} & set(changeable) or key in FIXED:
            raise ConfigError(f"{key}: a continued {what} keeps its {key}; {hint}")
    run, output_dir = reference(words, "resume"), reference(words, "output_dir") or "runs"
    return list(asked.items()), resolve_run(str(run), Path(output_dir).expanduser())


def _read_config(run_dir: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load((run_dir / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{run_dir} cannot be resumed: {CONFIG} cannot be read ({one_line(error)})") from None
    if not isinstance(values, dict) or not values:
        raise ConfigError(f"{run_dir} cannot be resumed: {CONFIG} holds no settings")
    return values
