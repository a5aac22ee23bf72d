"""MLflow's SQLite file is whole or absent, whatever is killed and whatever another program left."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from recsys_cli.files import read_json
from recsys_cli.tracking import database
from recsys_cli.tracking.syncing import sync_run
from recsys_cli.tracking.tracker import Tracker

pytestmark = pytest.mark.xdist_group("mlflow")  # one worker imports MLflow, which takes seconds

KILLED_WHILE_MAKING = """
import os, sys, threading, time
from pathlib import Path
from recsys_cli.tracking.database import prepare
path = Path(sys.argv[1])
def kill():
    while not any(each.stat().st_size > 200_000 for each in path.parent.glob("*.db")):
        time.sleep(0.001)
    os.kill(os.getpid(), 9)
import mlflow.store.tracking.sqlalchemy_store
threading.Thread(target=kill).start()
prepare(path)
"""


def half_made(whole: Path, path: Path) -> None:
    """Make a file as a kill in the middle of MLflow's migrations leaves it, an hour ago."""
    shutil.copy(whole, path)
    with closing(sqlite3.connect(path)) as file, file:
        for table in ("experiments", "runs", "experiment_tags", "latest_metrics"):
            file.execute(f"DELETE FROM {table}")
        file.execute("DROP TABLE model_versions")
        file.execute("CREATE TABLE _alembic_tmp_metrics (key INTEGER)")
        file.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
    path.with_name("mlflow.db-journal").write_bytes(b"of the killed process")
    os.utime(path, (time.time() - 3600, time.time() - 3600))


def runs(path: Path) -> int:
    with closing(sqlite3.connect(path)) as file:
        return int(file.execute("SELECT count(*) FROM runs").fetchone()[0])


def test_a_half_made_database_is_made_again_and_gets_the_journals(
    output_dir: Path, migrated_db: Path, make_seed: Callable[..., Path], make_tracker: Callable[..., Tracker]
) -> None:
    half_made(migrated_db, output_dir / "mlflow.db")
    seed_dir = make_seed()
    with make_tracker(enabled=False) as tracker:
        tracker.open(seed_dir, params={"a": 1}, tags={})
        tracker.log(seed_dir, 50, {"return": 7.0})
        tracker.set_status(seed_dir, "finished")
    synced = sync_run(seed_dir.parent, f"sqlite:///{output_dir / 'mlflow.db'}")
    assert synced.error is None and not synced.missing
    assert runs(output_dir / "mlflow.db") == 1
    assert read_json(seed_dir / "seed.json")["mlflow_run_id"]
    assert not list(output_dir.glob(".tmp-*")) and not list(output_dir.glob("*-journal"))


def test_what_holds_runs_or_is_no_database_is_never_made_again(output_dir: Path, migrated_db: Path) -> None:
    path = output_dir / "mlflow.db"
    shutil.copy(migrated_db, path)
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("CREATE TABLE _alembic_tmp_metrics (key INTEGER)")
        file.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
    database.prepare(path)
    assert runs(path) == 1, "an older MLflow's, say: the person migrates it"
    path.write_text("no database")
    database.prepare(path)
    assert path.read_text() == "no database"


def test_a_file_that_another_program_is_making_is_left_to_it(
    output_dir: Path, migrated_db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, waited = output_dir / "mlflow.db", []
    half_made(migrated_db, path)
    path.touch()

    def finished(seconds: float) -> None:
        waited.append(seconds)
        shutil.copy(migrated_db, path)

    monkeypatch.setattr(database, "time", SimpleNamespace(sleep=finished, time=time.time))
    path.with_name("mlflow.db-journal").unlink()
    database.prepare(path)
    assert len(waited) == 1 and runs(path) == 1


@pytest.mark.slow
def test_a_process_killed_while_it_makes_the_database_leaves_nothing_half_made(output_dir: Path) -> None:
    path = output_dir / "mlflow.db"
    for _ in range(3):
        killed = subprocess.run([sys.executable, "-c", KILLED_WHILE_MAKING, str(path)], check=False)
        assert killed.returncode == -signal.SIGKILL
        assert not path.exists()
    database.prepare(path)
    assert runs(path) == 0 and [each.name for each in output_dir.iterdir()] == ["mlflow.db"]
