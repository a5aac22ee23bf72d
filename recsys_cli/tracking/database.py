"""MLflow's SQLite file: whole or absent, with its artifacts beside it wherever it is moved.

MLflow makes a new database by some sixty migrations that take seconds. A process killed meanwhile would leave a file
that no MLflow can open or finish, so a new one is made under a temporary name, and one that was left half made (by
another program) is made again. MLflow keeps the artifacts' places as absolute paths; those in the `mlartifacts` folder
that was beside the database follow it.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from recsys_cli.files import locked, replacing
from recsys_cli.tracking.address import ARTIFACTS

RESTING = 10.0  # seconds without a write after which nobody is making a half-made file
_PLACES = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}


def prepare(path: Path) -> None:
    """Make the database if there is none, again if it is half made; move its artifacts' places if it was moved."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or _is_half_made(path):
        with locked(path.parent):
            while path.exists() and _is_half_made(path) and time.time() - path.stat().st_mtime < RESTING:
                time.sleep(0.2)
            if not path.exists() or _is_half_made(path):
                _make(path)
    follow_move(path)


def follow_move(path: Path) -> None:
    """Point the artifacts' places at the folder beside an existing database, which was elsewhere when they were made.

    A database that cannot be read or written now is left as it is.
    """
    now = (path.parent / ARTIFACTS).as_uri()
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as database, database:
            found = database.execute("SELECT artifact_location FROM experiments").fetchall()
            for before in {place for (place,) in found if place != now and str(place).endswith(f"/{ARTIFACTS}")}:
                if str(before).startswith("file:"):
                    _replace(database, str(before), now)
    except sqlite3.Error:
        return


def _replace(database: sqlite3.Connection, before: str, now: str) -> None:
    for table, columns in _PLACES.items():
        there = {name for _, name, *_ in database.execute(f"PRAGMA table_info({table})")}
        for column in there.intersection(columns):
            start = f"substr({column}, 1, {len(before) + 1}) || '/'"  # a whole name: not .../mlartifacts2
            database.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE {start} IN (?, ?)",
                (now, len(before) + 1, f"{before}/", f"{before}//"),
            )


def _is_half_made(path: Path) -> bool:
    """Whether a file lacks tables or migrations of a database and holds no run: its making was cut short."""
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as database:  # may roll a journal back
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            used = tables.intersection(
                ("experiments", "runs", "registered_models")
            )  # MLflow's own experiment comes last
            return not any(database.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() for table in used)
    except sqlite3.Error:
        return False  # no database at all, or in use: MLflow says which


def _make(path: Path) -> None:
    """Let MLflow make a database under a temporary name, and put it in place."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with replacing(path) as temporary:
        store = SqlAlchemyStore(f"sqlite:///{temporary}", (path.parent / ARTIFACTS).as_uri())
        store.engine.dispose()
        for suffix in ("", "-journal", "-wal", "-shm"):  # a half-made one's journal would be applied to the new one
            path.with_name(path.name + suffix).unlink(missing_ok=True)
