"""Upload to MLflow what a run could not upload itself, or carry runs to another MLflow.

If the MLflow server is down, training continues and keeps everything in the run's folder; this uploads the rest. to=
carries runs, wherever they were tracked and if at all, with what is registered of them; they belong to that MLflow from
then on. Without a run's name it carries every run in output_dir. Repeated, it sends only what is missing.

Examples:
    recsys sync runs/20261123-211500-interest_evolution-slateq-3f2a
    recsys sync 20261123-211500-interest_evolution-slateq-3f2a to=http://mlflow.example.com:5000
    recsys sync to=http://mlflow.example.com:5000
"""

from __future__ import annotations

from pathlib import Path

import yaml

from recsys_cli.config.errors import ConfigError, closest
from recsys_cli.config.paths import conf_dir

_KEYS = ("to", "output_dir")


def run(overrides: list[str]) -> int:
    """Upload what MLflow lacks of each run; return 0 if nothing is missing afterwards, else 1.

    Raises:
        ConfigError: no run, or one that is not found, not tracked or in use.
    """
    from recsys_cli.tracking.address import check_uri, resolved_uri
    from recsys_cli.tracking.local_runs import runs_in
    from recsys_cli.tracking.references import resolve_run
    from recsys_cli.tracking.syncing import sync_run

    references, settings = _read(overrides)
    output_dir = Path(settings.get("output_dir") or _default_output_dir()).expanduser()
    if "to" in settings:
        check_uri(resolved_uri(settings["to"], output_dir), "to")
    run_dirs = [resolve_run(reference, output_dir, key="sync") for reference in references]
    if not references:
        run_dirs = [path.resolve() for path in reversed(runs_in(output_dir))]
    run_dirs, failed = list(dict.fromkeys(run_dirs)), False
    for run_dir in run_dirs:
        try:
            synced = sync_run(run_dir, settings.get("to"))
        except ConfigError as error:
            if len(run_dirs) == 1:
                raise
            print(f"{run_dir.name}: {error}")
            failed = True
            continue
        if not synced.sent and not synced.missing:
            print(f"{run_dir.name}: nothing to upload, MLflow at {synced.uri} has it all")
        elif synced.error is None:
            print(f"{run_dir.name}: uploaded to MLflow at {synced.uri}: {'; '.join(synced.sent) or 'nothing'}")
            for line in synced.missing:
                print(f"{run_dir.name}: not uploaded: {line}")
        else:
            print(f"{run_dir.name}: {synced.error}; still missing: {'; '.join(synced.missing)}")
        for note in synced.notes:
            print(f"{run_dir.name}: {note}")
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
            if not value:
                raise ConfigError(
                    f"sync: {word} is empty, as if from an unset variable: leave it out, or give it a value"
                )
            settings[key] = value
        else:
            near = closest(key, _KEYS)
            raise ConfigError(f"sync: {key} is unknown; allowed: {', '.join(_KEYS)}{near and '.' + near}")
    if not references and "to" not in settings:
        raise ConfigError(
            "sync: a run is expected, as in 'recsys sync <run folder | run id>', or to=<MLflow address> for all"
        )
    return references, settings


def _default_output_dir() -> str:
    return str(yaml.safe_load((conf_dir() / "train.yaml").read_text(encoding="utf-8"))["output_dir"])
