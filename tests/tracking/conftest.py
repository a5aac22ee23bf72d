"""A migrated SQLite file made once, seeds and bundles as training makes them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys_cli.config import structured
from recsys_cli.config.structured import to_plain
from recsys_cli.files import atomic_dir, locked, write_json
from recsys_cli.tracking.bundle import write_bundle
from recsys_cli.tracking.tracker import Tracker

FIRST_TRAINING = """
import sys
from pathlib import Path
from recsys_cli.tracking.tracker import Tracker
run_dir = Path(sys.argv[1]) / "first"
settings = {"enabled": True, "uri": None, "experiment": "first", "register_model": None}
with Tracker(run_dir, say=print, **settings) as tracker:
    tracker.open(run_dir / "seed_0", params={"a": 1}, tags={})
    tracker.set_status(run_dir / "seed_0", "finished")
"""
PIPES: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "check": True}
RUN_NAME = "20261123-211500-interest_evolution-slateq-3f2a"


@pytest.fixture(scope="session")
def migrated_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as a first training leaves it; made once for all workers, since the migration takes seconds.

    What that training printed is in `printed.json` beside it.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "mlflow-template"
    shared.mkdir(exist_ok=True)
    with locked(shared / "lock"):
        path = shared / "ready.db"
        if not path.exists():
            making = shared / "making" / "mlflow.db"
            making.unlink(missing_ok=True)
            done = subprocess.run([sys.executable, "-c", FIRST_TRAINING, str(shared / "making")], **PIPES)
            write_json(shared / "printed.json", {"printed": done.stdout})
            making.rename(path)
    return path


@pytest.fixture
def output_dir(tmp_path: Path) -> Path:
    """An empty folder of runs, whose name has a space."""
    folder = tmp_path / "my runs"
    folder.mkdir()
    return folder


@pytest.fixture
def mlflow_db(output_dir: Path, migrated_db: Path) -> str:
    """The URI of a migrated database where tracking puts it by default."""
    shutil.copy(migrated_db, output_dir / "mlflow.db")
    return f"sqlite:///{output_dir / 'mlflow.db'}"


@pytest.fixture
def make_seed(output_dir: Path) -> Callable[..., Path]:
    """A function that makes a seed's folder as training does."""

    def make(name: str = RUN_NAME, seed: int = 0, status: str = "running") -> Path:
        folder = output_dir / name / f"seed_{seed}"
        write_json(output_dir / name / "run.json", {"name": name, "seeds": [folder.name]})
        seed_id = hashlib.sha256(f"{name}{seed}".encode()).hexdigest()[:32]
        write_json(folder / "seed.json", {"id": seed_id, "seed": seed, "status": status, "mlflow_run_id": None})
        return folder

    return make


@pytest.fixture
def make_bundle() -> Callable[..., Path]:
    """A function that makes a seed's checkpoint and points aliases at it."""

    def make(
        seed_dir: Path,
        steps: int,
        *aliases: str,
        value: float = 1.0,
        state: bool = False,
        policy: str = "ucb1",
        **settings: Any,
    ) -> Path:
        path = seed_dir / "checkpoints" / f"step_{steps:09d}"
        with atomic_dir(path) as temporary:
            env, algo = structured.load("env", "interest_evolution"), structured.load("algo", policy, **settings)
            untrained = algo.make_policy(env.spec).tensors()
            tensors = {name: np.full_like(tensor, steps) for name, tensor in untrained.items()}
            parts: dict[str, Any] = {"config": {"env": to_plain(env), "algo": to_plain(algo)}, "spec": env.spec}
            write_bundle(temporary, policy_state=tensors, info={"steps": steps}, **parts)
            if state:
                write_json(temporary / "training_state" / "state.json", {"replay": 1})
        for alias in aliases:
            pointer = {"path": path.name, "steps": steps, "return": value}
            write_json(path.parent / f"{alias}.json", pointer)
        return path

    return make


@pytest.fixture
def make_tracker(output_dir: Path) -> Iterator[Callable[..., Tracker]]:
    """A function that makes a tracker of the default run; what it says goes to its `said`; closed after the test."""
    with ExitStack() as stack:

        def make(run_name: str = RUN_NAME, **changes: Any) -> Tracker:
            said: list[str] = []
            settings = {"enabled": True, "uri": None, "experiment": "recsys", "register_model": None, **changes}
            tracker = Tracker(output_dir / run_name, say=said.append, **settings)
            tracker.said = said  # type: ignore[attr-defined]
            stack.callback(tracker.close, timeout=30)
            return tracker

        yield make


@pytest.fixture
def client(mlflow_db: str) -> Any:
    """An MLflow client of the test's database."""
    from recsys_cli.tracking.mlflow_client import connect

    return connect(mlflow_db)
