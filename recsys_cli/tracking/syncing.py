"""Uploading after training: what a run could not upload itself, and evaluations made later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_cli.config.errors import ConfigError
from recsys_cli.tracking import folder as folders
from recsys_cli.tracking.address import check_uri, resolved_uri
from recsys_cli.tracking.background import reason
from recsys_cli.tracking.files import locked, read_json, read_jsonl
from recsys_cli.tracking.folder import EVALUATION, JOURNAL, SEED, UNFINISHED
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
    """

    uri: str
    sent: list[str]
    missing: list[str]
    error: str | None


def sync_run(run_dir: Path, uri: str | None) -> Synced:
    """Upload what MLflow lacks of a run; a training that died without recording its end is marked KILLED.

    Args:
        run_dir: the run's folder.
        uri: MLflow tracking URI; None: where the run was tracked.

    Raises:
        ConfigError: nothing was tracked, no server is known, or the run is being trained at this moment.
    """
    seeds = seeds_of(run_dir)
    tracked = [folder for folder in (run_dir, *seeds) if folders.read_plan(folder) is not None]
    if not tracked:
        raise ConfigError(f"{run_dir} holds nothing that was tracked")
    address = _address(tracked[0], uri, run_dir)
    with locked(run_dir / LOCK, wait=False) as mine:
        if not mine:
            raise ConfigError(f"run {run_dir.name} is in use by another process, which uploads it itself")
        for folder in reversed(tracked):  # seeds first: a parent's status follows from theirs
            _close_dead(folder, seeds)
        lacked = missing_lines(tracked, mask(address))
        error = _upload(tracked, address, run_dir) if lacked else None
        return Synced(mask(address), lacked, missing_lines(tracked, mask(address)) if lacked else [], error)


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
    plan_evaluation(seed_dir, results, headline, file_name, arrays)
    plan = folders.read_plan(seed_dir)
    if plan is None or plan.uri is None:
        return None  # tracking is off for this run: the file is all
    with locked(seed_dir.parent / LOCK, wait=False) as mine:
        if not mine:
            return None  # the training that has the run uploads it with its next report
        error = _upload([seed_dir], _address(seed_dir, None, seed_dir.parent), seed_dir.parent)
    return error and f"not logged to MLflow ({error}); later: recsys sync {seed_dir.parent}"


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


def _address(folder: Path, uri: str | None, run_dir: Path) -> str:
    plan = folders.read_plan(folder)
    known = uri if uri is not None or plan is None else plan.uri
    if known is None:
        raise ConfigError(f"run {run_dir.name} was trained with tracking=off: set where to upload it with uri=...")
    if "://***@" in known:
        raise ConfigError(f"run {run_dir.name} went to {known}, whose password is not kept: set uri=...")
    address = resolved_uri(known, run_dir.parent)
    check_uri(address)
    return address


def _close_dead(folder: Path, seeds: list[Path]) -> None:
    """Set the final status of a folder that no process trains any more."""
    plan = folders.read_plan(folder)
    if plan is None or plan.status not in UNFINISHED:
        return
    rows = read_jsonl(folder / JOURNAL)
    status = read_json(folder / SEED, default={}).get("status") or "running"
    if folder not in seeds:
        status = joint_status(seeds)
    unfinished = STATUS.get(status.lower(), status) in UNFINISHED
    plan_status(folder, "killed" if unfinished else status, rows[-1]["time"] if rows else None)


def _upload(tracked: list[Path], uri: str, run_dir: Path) -> str | None:
    """Upload folder after folder; return the first error in one line."""
    from recsys_cli.tracking.mlflow_tracker import MlflowUploader

    uploader = MlflowUploader(uri, run_dir.parent)
    try:
        for folder in tracked:
            folders.edit_plan(folder, lambda plan: setattr(plan, "uri", mask(uri)))
            uploader.sync(folder)
    except Exception as error:
        return f"MLflow at {mask(uri)} is down: {reason(error)}"
    return None
