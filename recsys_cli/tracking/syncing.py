"""Uploading after training: what a run could not upload itself, and evaluations made later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_cli.config.errors import ConfigError
from recsys_cli.files import locked, read_if_sound, read_jsonl
from recsys_cli.tracking import folder as folders
from recsys_cli.tracking.address import check_uri, resolved_uri, stored_uri
from recsys_cli.tracking.background import reason
from recsys_cli.tracking.carrying import known_versions, register_again
from recsys_cli.tracking.folder import EVALUATION, JOURNAL, PLAN, SEED, UNFINISHED
from recsys_cli.tracking.home import address, settle, tracked
from recsys_cli.tracking.local_runs import is_seed, seeds_of
from recsys_cli.tracking.planning import (
    STATUS,
    joint_status,
    missing_lines,
    plan_evaluation,
    plan_status,
    summarise,
    write_results,
)
from recsys_cli.tracking.provenance import mask
from recsys_cli.tracking.tracker import LOCK

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Synced:
    """The result of a synchronisation.

    Attributes:
        uri: the MLflow server, credentials masked.
        sent: one line for each folder that lacked something.
        missing: the same, after the attempt; empty if all went well.
        error: why something is missing, or None.
        notes: what of the old registry did not come along, one line each.
    """

    uri: str
    sent: list[str]
    missing: list[str]
    error: str | None
    notes: list[str] = field(default_factory=list)


def sync_run(run_dir: Path, to: str | None) -> Synced:
    """Upload what MLflow lacks of a run; a training that died without recording its end is marked KILLED.

    Args:
        run_dir: the run's folder.
        to: MLflow tracking URI, which the run belongs to from now on; None: where it was tracked.

    Raises:
        ConfigError: nothing was tracked, no server is known, or the run is being trained at this moment.
    """
    folders_tracked = list(tracked(run_dir))
    damaged = [each for each in (run_dir, *seeds_of(run_dir)) if (each / PLAN).exists() and each not in folders_tracked]
    if not folders_tracked:
        raise ConfigError(f"{run_dir} holds nothing that was tracked")
    uri = tracked_uri(run_dir) if to is None else resolved_uri(to, run_dir.parent)
    check_uri(uri)
    with locked(run_dir / LOCK, wait=False) as mine:
        if not mine:
            raise ConfigError(f"run {run_dir.name} is in use by another process, which uploads it itself")
        settle(run_dir, uri)
        seeds = [folder for folder in folders_tracked if folder != run_dir]
        for folder in reversed(folders_tracked):  # seeds first: a parent's status follows from theirs
            _close_dead(folder, seeds)
        kept = stored_uri(uri, run_dir.parent)
        lacked = missing_lines(folders_tracked, kept)
        carried = {folder: known_versions(folder, uri, run_dir.parent) for folder in seeds}
        error = _upload(folders_tracked, uri, run_dir) if lacked else None
        notes = [note for _, note in carried.values() if note]
        if error is None:
            for folder, (versions, _) in carried.items():
                notes += register_again(versions, folder, uri, run_dir.parent) if versions else []
        missing = missing_lines(folders_tracked, kept) if lacked else []
        missing += [f"{folder.name}: its {PLAN} is damaged" for folder in damaged]
        return Synced(mask(uri), lacked, missing, error, notes)


def record_evaluation(
    bundle_dir: Path,
    results: Mapping[str, Any],
    *,
    uri: str | None,
    output_dir: Path,
    headline: Mapping[str, float] | None = None,
    file_name: str = EVALUATION,
    arrays: Mapping[str, np.ndarray] | None = None,
) -> str | None:
    """Log an evaluation to the run that a bundle comes from, on disk or (a downloaded bundle) in MLflow alone.

    Args:
        bundle_dir: what `references.resolve` returned.
        results: content of the results file.
        uri: MLflow tracking URI for a downloaded bundle; None: the local SQLite file.
        output_dir: the folder of runs.
        headline: numbers that become metrics `<file>/<key>`; None: every number in `results`.
        file_name: the results file, in the seed's folder and among the artifacts.
        arrays: what the results sum up, kept beside the file as `.npz`.

    Returns:
        One line to show if it could not be logged (now), else None.
    """
    seed_dir = bundle_dir.resolve().parent.parent
    if not is_seed(seed_dir):
        summary = summarise(results, headline, file_name, 0)
        return _record_remotely(bundle_dir.parent / file_name, results, arrays, summary, resolved_uri(uri, output_dir))
    try:
        plan_evaluation(seed_dir, results, headline, file_name, arrays)
    except ConfigError as error:
        return f"not logged: {error}"
    plan = folders.sound_plan(seed_dir)
    if plan is None or plan.uri is None:
        return None  # tracking is off for this run: the file is all
    with locked(seed_dir.parent / LOCK, wait=False) as mine:
        if not mine:
            return None  # the training that has the run uploads it with its next report
        uri = tracked_uri(seed_dir.parent)
        settle(seed_dir.parent, uri)
        failure = _upload([seed_dir], uri, seed_dir.parent)
    return failure and f"not logged to MLflow ({failure}); later: recsys sync {seed_dir.parent}"


def _record_remotely(
    file: Path, results: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None, summary: dict[str, Any], uri: str
) -> str | None:
    """Log an evaluation to the run whose downloaded bundle lies beside the results file."""
    run_id = file.parent.name
    if file.parent.parent.name != "mlflow" or len(run_id) != 32:
        return f"not logged: {file.parent} belongs to no run"
    from recsys_cli.tracking.mlflow_client import connect
    from recsys_cli.tracking.mlflow_tracker import log_results

    write_results(file, results, arrays)
    try:
        log_results(connect(uri), run_id, file, summary)
    except Exception as error:
        return f"not logged to MLflow ({reason(error)})"
    return None


def tracked_uri(run_dir: Path) -> str:
    """Return the MLflow tracking URI at which a run was tracked.

    Raises:
        ConfigError: with tracking off, or at an address whose password is not kept.
    """
    known = [plan.uri for plan in tracked(run_dir).values() if plan.uri is not None]
    if not known:
        raise ConfigError(
            f"run {run_dir.name} is not in MLflow (tracking=off): upload it first with recsys sync {run_dir} to=..."
        )
    if "://***@" in known[0]:
        raise ConfigError(
            f"run {run_dir.name} is at {known[0]}, whose password is not kept: recsys sync {run_dir} to=<with password>"
        )
    return address(run_dir, None)


def _close_dead(folder: Path, seeds: list[Path]) -> None:
    """Set the final status of a folder that no process trains any more."""
    plan = folders.read_plan(folder)
    if plan is None or plan.status not in UNFINISHED:
        return
    rows = read_jsonl(folder / JOURNAL)
    status = read_if_sound(folder / SEED).get("status") or "running"
    if folder not in seeds:
        status = joint_status(seeds)
    unfinished = STATUS.get(status.lower(), status) in UNFINISHED
    plan_status(folder, "killed" if unfinished else status, rows[-1]["time"] if rows else None)


def _upload(tracked_folders: list[Path], uri: str, run_dir: Path) -> str | None:
    """Upload folder after folder; return the first error in one line."""
    from recsys_cli.tracking.mlflow_tracker import MlflowUploader

    uploader = MlflowUploader(uri, run_dir.parent)
    try:
        for folder in tracked_folders:
            folders.edit_plan(folder, lambda plan: setattr(plan, "uri", stored_uri(uri, run_dir.parent)))
            uploader.sync(folder)
    except Exception as error:
        return f"MLflow at {mask(uri)} is down: {reason(error)}"
    return None
