"""Checkpoint bundles among an MLflow run's artifacts, and in its model registry.

A bundle's place is `folder.artifact_path`; the run's tags `checkpoint.best` and `checkpoint.last` name the places. A
tag changes in one transaction after the files are there, so a reader finds the old bundle or the new one, never a mix.
Places that no tag and no registered model names any more are deleted.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from recsys_cli.tracking.bundle import MANIFEST, TENSORS, TRAINING_STATE
from recsys_cli.tracking.folder import Plan, Uploaded, artifact_path, save_uploaded

if TYPE_CHECKING:
    from mlflow import MlflowClient

BUNDLE_TAG = "checkpoint."
PLACES = "checkpoints"


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
    from mlflow.exceptions import MlflowException

    place = done.bundles.get("best")
    if plan.register is None or place is None or place in done.registered:
        return
    try:
        client.create_registered_model(plan.register)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    run = client.get_run(str(done.run_id))
    source = f"{run.info.artifact_uri}/{place}"
    versions = client.search_model_versions(f"name='{plan.register}' and run_id='{done.run_id}'")
    found = next((version for version in versions if version.source == source), None)
    found = found or client.create_model_version(plan.register, source, run_id=done.run_id)
    done.registered[place] = f"models:/{plan.register}/{found.version}"
    save_uploaded(folder, done)


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
    """Delete the places that nothing names; a store that cannot delete keeps them, which costs room only."""
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
