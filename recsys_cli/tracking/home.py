"""One rule for run folders that are not where they were: moved, copied, or from another machine.

A run belongs to the `output_dir` that it lies in now. Its MLflow is the database of that `output_dir` if it was in one,
else the server (or the file elsewhere, while it exists) that it was tracked on. Its ids stay known. A copy whose
original would be written to as well gets ids, and a run in MLflow, of its own.
"""

from __future__ import annotations

import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

from recsys_cli.files import update_json
from recsys_cli.tracking import folder as folders
from recsys_cli.tracking.address import check_uri, recalled_uri, resolved_uri, sqlite_path, stored_uri
from recsys_cli.tracking.database import follow_move
from recsys_cli.tracking.folder import SEED, Plan
from recsys_cli.tracking.local_runs import runs_in, seeds_of


def tracked(run_dir: Path) -> dict[Path, Plan]:
    """Return the plans of a run's folders that were tracked, the run's own first; damaged ones are left out."""
    plans = {folder: folders.sound_plan(folder) for folder in (run_dir, *seeds_of(run_dir))}
    return {folder: plan for folder, plan in plans.items() if plan is not None}


def address(run_dir: Path, uri: str | None) -> str:
    """Return the MLflow tracking URI of a run.

    Args:
        run_dir: resolved.
        uri: of its config, credentials included; None: the database of its `output_dir`.

    Raises:
        ConfigError: not an MLflow store's address.
    """
    plans = tracked(run_dir)
    stored = next((plan.uri for plan in plans.values() if plan.uri is not None), None)
    known = "://***@" not in stored if stored is not None else False
    found = recalled_uri(str(stored), run_dir.parent) if known else resolved_uri(uri, run_dir.parent)
    check_uri(found)
    path = sqlite_path(found)
    moved = any(plan.place != str(folder) for folder, plan in plans.items())
    gone = moved and path is not None and not path.exists()
    return resolved_uri(None, run_dir.parent) if gone else found


def settle(run_dir: Path, uri: str | None) -> None:
    """Make a run's folder at home where it is, before anything is written to it or to its MLflow run.

    Args:
        run_dir: resolved and locked.
        uri: its MLflow tracking URI; None with tracking off.
    """
    output_dir, database = run_dir.parent, uri and sqlite_path(uri)
    if database and database.exists():
        follow_move(database)
    for folder, plan in tracked(run_dir).items():
        copied = plan.place != str(folder) and uri is not None and _is_copy(run_dir, folder, plan, uri)
        if copied or (uri is not None and _is_lost(folder, uri, output_dir)):
            folders.forget_uploaded(folder)
        if copied:
            _rename(folder, plan.id, uuid.uuid4().hex)
        if plan.place != str(folder):
            folders.edit_plan(folder, lambda plan, place=str(folder): setattr(plan, "place", place))  # type: ignore[misc]


def _is_copy(run_dir: Path, folder: Path, plan: Plan, uri: str) -> bool:
    """Whether another folder, where this one was or beside this run, is at home there and has the same MLflow run."""
    mine = recalled_uri(stored_uri(uri, run_dir.parent), run_dir.parent)
    beside = [other for run in runs_in(run_dir.parent) if run.resolve() != run_dir for other in (run, *seeds_of(run))]
    for other in {Path(plan.place or folder), *beside}:
        twin = folders.sound_plan(other)
        if twin is None or twin.id != plan.id or twin.uri is None or twin.place != str(other.resolve()):
            continue
        output_dir = other.parent if folder == run_dir else other.parent.parent
        if recalled_uri(twin.uri, output_dir) == mine:
            return True
    return False


def _is_lost(folder: Path, uri: str, output_dir: Path) -> bool:
    """Whether a SQLite file does not have the run that was uploaded there: the folder came without it."""
    path, run_id = sqlite_path(uri), folders.read_uploaded(folder, stored_uri(uri, output_dir)).run_id
    if path is None or run_id is None:
        return False
    if not path.exists():
        return True
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            return database.execute("SELECT 1 FROM runs WHERE run_uuid = ?", (run_id,)).fetchone() is None
    except sqlite3.Error:
        return False  # in use, or half made: the uploader finds out


def _rename(folder: Path, old: str, new: str) -> None:
    def change(plan: Plan) -> None:
        plan.id = new
        plan.former_ids.append(old)

    folders.edit_plan(folder, change)
    if (folder / SEED).exists():
        update_json(folder / SEED, lambda seed: seed.update(id=new, mlflow_run_id=None))
