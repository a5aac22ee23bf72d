"""What another MLflow's registry holds of a run, carried over with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_cli.files import read_if_sound
from recsys_cli.tracking.address import recalled_uri, stored_uri
from recsys_cli.tracking.background import reason
from recsys_cli.tracking.folder import UPLOADED, artifact_path, read_uploaded
from recsys_cli.tracking.local_runs import CHECKPOINTS
from recsys_cli.tracking.provenance import mask

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


def known_versions(folder: Path, to: str, output_dir: Path) -> tuple[list[ModelVersion], str | None]:
    """Return the model versions of a folder's run where it was tracked until now; an error line if that is down.

    Args:
        folder: the seed's.
        to: MLflow tracking URI that it is carried to; nothing to carry if it is there already.
        output_dir: the folder of runs.
    """
    uploaded = read_if_sound(folder / UPLOADED)
    if uploaded.get("uri") in (None, stored_uri(to, output_dir)) or uploaded.get("run_id") is None:
        return [], None
    from recsys_cli.tracking.mlflow_client import connect

    before = recalled_uri(uploaded["uri"], output_dir)
    try:
        client = connect(before)
        versions = client.search_model_versions(f"run_id='{uploaded['run_id']}'")
        return [client.get_model_version(each.name, each.version) for each in versions], None
    except Exception as error:
        return [], f"what is registered of it stays behind, MLflow at {mask(before)} is down: {reason(error)}"


def register_again(versions: list[ModelVersion], folder: Path, to: str, output_dir: Path) -> list[str]:
    """Register a carried run's checkpoints under the same names; return a line for each name that it did not get.

    Version numbers are the new registry's. An alias that another version has there stays with that one.
    """
    from recsys_cli.tracking.mlflow_bundles import publish
    from recsys_cli.tracking.mlflow_client import connect

    client, lines = connect(to), []
    run_id = str(read_uploaded(folder, stored_uri(to, output_dir)).run_id)
    bundles = {artifact_path(path): path for path in (folder / CHECKPOINTS).glob("[!.]*")}
    for old in sorted(versions, key=lambda version: int(version.version)):
        place = f"{CHECKPOINTS}/{Path(str(old.source)).name}"
        if place not in bundles:
            lines.append(f"models:/{old.name}/{old.version} stays behind: its checkpoint is deleted here")
            continue
        new, _ = publish(client, run_id, bundles[place], place, old.name)
        lines += [line for alias in old.aliases if (line := _point(client, old, new, alias))]
    return lines


def _point(client: MlflowClient, old: ModelVersion, new: Any, alias: str) -> str | None:
    pointed = client.get_registered_model(old.name).aliases.get(alias)
    if pointed is None:
        client.set_registered_model_alias(old.name, alias, new.version)
    elif str(pointed) != str(new.version):
        return f"models:/{old.name}@{alias} is version {pointed} there, and stays so"
    return None
