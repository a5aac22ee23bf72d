"""Checkpoint bundles among an MLflow run's artifacts, and in its model registry.

A bundle's path is `folder.artifact_path`; the run's tags `checkpoint.best` and `checkpoint.last` name the paths. A tag
changes in one transaction after the files are uploaded, so a reader finds the old bundle or the new one, never a mix.
Paths no longer named by any tag or registered model are deleted.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from recsys_cli.tracking.bundle import MANIFEST, TENSORS, TRAINING_STATE
from recsys_cli.tracking.folder import Plan, Uploaded, artifact_path, save_uploaded

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

BUNDLE_TAG = "checkpoint."
PLACES = "checkpoints"
MLMODEL = "MLmodel"


def upload(client: MlflowClient, folder: Path, plan: Plan, done: Uploaded) -> None:
    """Upload the bundles of the plan that the run does not have, then point the tags at them."""
    for alias, relative in sorted(plan.bundles.items()):
        bundle_dir = folder / relative
        place = artifact_path(bundle_dir)
        if place is None or place == done.bundles.get(alias):
            continue
        with_state = plan.training_state and alias == "last"
        if place not in done.bundles.values() or with_state:
            _upload_files(client, str(done.run_id), bundle_dir, place, with_state)
        client.set_tag(str(done.run_id), f"{BUNDLE_TAG}{alias}", place)
        old = done.bundles.get(alias)
        done.bundles[alias] = place
        save_uploaded(folder, done)
        if old is not None:
            _prune(client, str(done.run_id))


def register(client: MlflowClient, folder: Path, plan: Plan, done: Uploaded) -> None:
    """Register the run's best bundle as a version of the plan's model, once."""
    place = done.bundles.get("best")
    if plan.register is None or place is None or place in done.registered:
        return
    bundle_dir = folder / plan.bundles["best"]
    if artifact_path(bundle_dir) != place:
        return  # changed meanwhile: `upload` comes first
    version, _ = publish(client, str(done.run_id), bundle_dir, place, plan.register)
    done.registered[place] = f"models:/{plan.register}/{version.version}"
    save_uploaded(folder, done)


def publish(client: MlflowClient, run_id: str, bundle_dir: Path, place: str, name: str) -> tuple[ModelVersion, bool]:
    """Make a bundle a version of a registered model; return it, and whether it is new.

    The bundle's folder among the run's artifacts becomes an MLflow model: bundle and model are one folder.

    Args:
        client: of tracking store and registry.
        run_id: the run that the bundle belongs to.
        bundle_dir: its files.
        place: its current or future path among the run's artifacts.
        name: the registered model, made if missing.

    Raises:
        ConfigError: a policy that no server can call.
    """
    source = f"{client.get_run(run_id).info.artifact_uri}/{place}"
    with suppress_existing():
        client.create_registered_model(name)
    known = client.search_model_versions(f"name='{name}' and run_id='{run_id}'")
    if found := next((version for version in known if version.source == source), None):
        return found, False
    client.set_tag(run_id, f"{BUNDLE_TAG}models:/{name}", place)  # a training that still goes on keeps the place
    there = {item.path.removeprefix(f"{place}/") for item in client.list_artifacts(run_id, place)}
    if MANIFEST not in there:
        _upload_files(client, run_id, bundle_dir, place, with_state=False)
    if MLMODEL not in there:
        _upload_model(client, run_id, bundle_dir, place)
    return client.create_model_version(name, source, run_id=run_id), True


@contextmanager
def suppress_existing() -> Iterator[None]:
    """Ignore the error that something already exists."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _upload_model(client: MlflowClient, run_id: str, bundle_dir: Path, place: str) -> None:
    """Upload MLflow's own files of a model, `MLmodel` last."""
    from recsys_cli.tracking.pyfunc import write_model

    with tempfile.TemporaryDirectory(prefix="recsys-model-") as temporary:
        write_model(bundle_dir, Path(temporary), run_id)
        for path in sorted(Path(temporary).iterdir(), key=lambda path: path.name == MLMODEL):
            client.log_artifact(run_id, str(path), place)


def _upload_files(client: MlflowClient, run_id: str, bundle_dir: Path, place: str, with_state: bool) -> None:
    """Upload a bundle from a copy, since training may prune the folder meanwhile; `recsys.yaml` goes last."""
    with tempfile.TemporaryDirectory(prefix="recsys-bundle-") as temporary:
        for name in (TENSORS, MANIFEST):
            shutil.copy2(bundle_dir / name, Path(temporary, name))
        if with_state and (bundle_dir / TRAINING_STATE).is_dir():
            client.log_artifacts(run_id, str(bundle_dir / TRAINING_STATE), f"{place}/{TRAINING_STATE}")
        for name in (TENSORS, MANIFEST):
            client.log_artifact(run_id, str(Path(temporary, name)), place)


def _prune(client: MlflowClient, run_id: str) -> None:
    """Delete unnamed paths; a store that cannot delete keeps them, which only costs space."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    run = client.get_run(run_id)
    root = str(run.info.artifact_uri)
    named = {value for key, value in run.data.tags.items() if key.startswith(BUNDLE_TAG)}
    named |= {str(item.source).removeprefix(f"{root}/") for item in client.search_model_versions(f"run_id='{run_id}'")}
    with suppress(Exception):
        repository = get_artifact_repository(root, tracking_uri=client.tracking_uri)
        for item in client.list_artifacts(run_id, PLACES):
            if item.path.startswith(f"{PLACES}/") and item.path not in named:
                repository.delete_artifacts(item.path)
