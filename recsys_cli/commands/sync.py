"""Upload to MLflow what a run could not upload itself.

If the MLflow server is down, training continues and keeps everything in the run's folder; this uploads the rest. With
uri=, also a run that was tracked elsewhere or not at all.

Examples:
    recsys sync runs/20261123-211500-interest_evolution-slateq-3f2a
    recsys sync 20261123-211500-interest_evolution-slateq-3f2a uri=http://mlflow.example.com:5000
"""

from __future__ import annotations

from pathlib import Path

import yaml

from recsys_cli.config.errors import ConfigError, closest
from recsys_cli.config.paths import conf_dir

_KEYS = ("uri", "output_dir")


def run(overrides: list[str]) -> int:
    """Upload what MLflow lacks of each run; return 0 if nothing is missing afterwards, else 1.

    Raises:
        ConfigError: no run, or one that is not found, not tracked or in use.
    """
    from recsys_cli.tracking.references import resolve_run
    from recsys_cli.tracking.syncing import sync_run

    references, settings = _read(overrides)
    output_dir = Path(settings.get("output_dir") or _default_output_dir())
    run_dirs = [resolve_run(reference, output_dir, key="sync") for reference in references]
    failed = False
    for run_dir in dict.fromkeys(run_dirs):
        synced = sync_run(run_dir, settings.get("uri"))
        if not synced.sent:
            print(f"{run_dir.name}: nothing to upload, MLflow at {synced.uri} has it all")
        elif synced.error is None:
            print(f"{run_dir.name}: uploaded to MLflow at {synced.uri}: {'; '.join(synced.sent)}")
        else:
            print(f"{run_dir.name}: {synced.error}; still missing: {'; '.join(synced.missing)}")
        failed = failed or bool(synced.missing)
    return 1 if failed else 0


def _read(words: list[str]) -> tuple[list[str], dict[str, str]]:
    """Split the words into runs and settings."""
    references: list[str] = []
    settings: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or Path(word).exists():
            references.append(word)
        elif key in _KEYS:
            settings[key] = value
        else:
            near = closest(key, _KEYS)
            raise ConfigError(f"sync: {key} is unknown; allowed: {', '.join(_KEYS)}{near and '.' + near}")
    if not references:
        raise ConfigError("sync: a run is expected, as in 'recsys sync <run folder | run id>'")
    return references, settings


def _default_output_dir() -> str:
    return str(yaml.safe_load((conf_dir() / "train.yaml").read_text(encoding="utf-8"))["output_dir"])
