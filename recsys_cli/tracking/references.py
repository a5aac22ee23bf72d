"""Resolving `checkpoint=` and `resume=` to a folder: paths, names, ids, MLflow runs and models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from recsys_cli.config.errors import ConfigError, closest
from recsys_cli.config.notices import warn
from recsys_cli.tracking.address import check_uri, resolved_uri
from recsys_cli.tracking.background import reason
from recsys_cli.tracking.local_runs import ALIASES, bundle_in, find, identifiers, run_of, runs_in
from recsys_cli.tracking.provenance import mask


def resolve(
    reference: str, output_dir: Path, uri: str | None, say: Callable[[str], None] = warn, *, key: str = "checkpoint"
) -> Path:
    """Return the bundle's folder that a checkpoint reference names.

    The disk is searched first, without importing MLflow; then MLflow, from which a bundle is downloaded into
    `<output_dir>/.cache`.

    Args:
        reference: a path (bundle, `checkpoints`, seed, run with one seed), a run's name, `<run>/<seed>`, a seed's
            local id or MLflow run id or their first 6 characters or more, each with `/best` (the default), `/last` or
            `/<checkpoint>` after it if wanted, or `models:/<name>/<version>` or `models:/<name>@<alias>`.
        output_dir: the folder of runs.
        uri: MLflow tracking URI; None: `sqlite:///<output_dir>/mlflow.db`.
        say: called if a checkpoint other than the requested one is used.
        key: names the setting in messages.

    Raises:
        ConfigError: not found, ambiguous, or no checkpoint there.
    """
    address = resolved_uri(uri, output_dir)
    check_uri(address)
    if reference.startswith("models:"):
        found = _ask_mlflow(reference, None, address, output_dir, say, key)
        return found or _refuse(reference, output_dir, address, key)
    for name, alias in _readings(reference):
        found = _on_disk(name, alias, output_dir, say, key)
        if found is not None:
            return found
    for name, alias in _readings(reference):
        found = _ask_mlflow(name, alias, address, output_dir, say, key)
        if found is not None:
            return found
    return _refuse(reference, output_dir, address, key)


def resolve_run(reference: str, output_dir: Path, key: str = "resume") -> Path:
    """Return the run's folder of a path, a run's name or id, or that of one of its seeds.

    Raises:
        ConfigError: not found, or ambiguous; `key` names the setting in the message.
    """
    for name, _ in _readings(reference):
        for path in (Path(name).expanduser(), output_dir / name):
            run_dir = run_of(path) if name and path.is_dir() else None
            if run_dir is not None:
                return run_dir
        found = find(name, output_dir, key) if name else None
        if found is not None and (run_dir := run_of(found)) is not None:
            return run_dir
    raise ConfigError(
        f"{key}={reference!r} was not found: no run's folder, no run or seed of that name or id in {output_dir}"
        f"{_hint(reference, output_dir)}"
    )


def _readings(reference: str) -> list[tuple[str, str]]:
    """Return the ways to read a reference as name and alias: all of it a name, or its last part an alias."""
    reference = reference.strip().rstrip("/")
    name, _, last = reference.rpartition("/")
    whole = [(reference, "best")] if reference else []
    return [*whole, (name, last)] if name and (last in ALIASES or last.startswith("step_")) else whole


def _on_disk(name: str, alias: str, output_dir: Path, say: Callable[[str], None], key: str) -> Path | None:
    for folder in (Path(name).expanduser(), output_dir / name):
        found = bundle_in(folder.resolve(), alias, say) if folder.is_dir() else None
        if found is not None:
            return found
    folder_found = find(name, output_dir, key)
    return None if folder_found is None else bundle_in(folder_found, alias, say)


def _ask_mlflow(
    name: str, alias: str | None, uri: str, output_dir: Path, say: Callable[[str], None], key: str
) -> Path | None:
    """Return a run's bundle from MLflow, or a model's for alias None; None if MLflow knows no such run."""
    from recsys_cli.tracking.mlflow_lookup import Lookup

    lookup = Lookup(uri, output_dir, say, key)
    try:
        return lookup.of_model(name) if alias is None else lookup.of_run(name, alias)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(
            f"{key}={name!r} is not in {output_dir}, and MLflow at {mask(uri)} did not answer: {reason(error)}"
        ) from None


def _refuse(reference: str, output_dir: Path, uri: str, key: str) -> Path:
    raise ConfigError(
        f"{key}={reference!r} was not found: no checkpoint's, seed's or run's folder, no name or id in "
        f"{output_dir}, no run in MLflow at {mask(uri)}{_hint(reference, output_dir)}"
    )


def _hint(reference: str, output_dir: Path) -> str:
    """Return the closest name or id, and the most recent runs."""
    near = closest(reference.partition("/")[0], identifiers(output_dir))
    recent = [path.name for path in runs_in(output_dir)[:3]]
    return f".{near}" * bool(near) + (f". Most recent: {', '.join(recent)}" if recent else "")
