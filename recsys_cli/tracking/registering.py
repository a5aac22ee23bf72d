"""`recsys register` as a function: a checkpoint becomes a version of a model in MLflow's registry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recsys_cli.config.errors import ConfigError
from recsys_cli.files import locked
from recsys_cli.tracking import folder as folders
from recsys_cli.tracking.address import check_uri, resolved_uri, stored_uri
from recsys_cli.tracking.background import reason
from recsys_cli.tracking.bundle import read_bundle
from recsys_cli.tracking.home import settle
from recsys_cli.tracking.local_runs import is_seed
from recsys_cli.tracking.provenance import mask
from recsys_cli.tracking.syncing import sync_run, tracked_uri
from recsys_cli.tracking.tracker import LOCK

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Registered:
    """A checkpoint's names in the registry.

    Attributes:
        version: `models:/<name>/<version>`.
        new: whether this made the version.
        alias: `models:/<name>@<alias>`, or None if none was requested.
        before: version that the alias pointed at, if it was another.
        run_id: MLflow run that the checkpoint comes from.
        uri: MLflow tracking URI, credentials masked.
        default_uri: whether that is where commands look by default.
    """

    version: str
    new: bool
    alias: str | None
    before: str | None
    run_id: str
    uri: str
    default_uri: bool


def register_checkpoint(
    bundle_dir: Path, *, name: str, alias: str | None, uri: str | None, output_dir: Path
) -> Registered:
    """Register a checkpoint, once, and point an alias at its version.

    Args:
        bundle_dir: what `references.resolve` returned.
        name: the model; created if missing.
        alias: or None.
        uri: MLflow tracking URI; None: where the run was tracked.
        output_dir: the folder of runs.

    Raises:
        ConfigError: no sound bundle, the checkpoint belongs to no MLflow run there, its policy cannot be served, or no
            answer.
    """
    read_bundle(bundle_dir)
    address, run_id, place = _origin(bundle_dir, uri, output_dir)
    from recsys_cli.tracking.mlflow_client import connect

    try:
        client = connect(address)
        return _register(client, address, output_dir, bundle_dir, run_id, place, name, alias)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"name={name}: MLflow at {mask(address)} did not register it: {reason(error)}") from None


def _register(
    client: MlflowClient,
    address: str,
    output_dir: Path,
    bundle_dir: Path,
    run_id: str,
    place: str,
    name: str,
    alias: str | None,
) -> Registered:
    from recsys_cli.tracking.mlflow_bundles import publish

    version, new = publish(client, run_id, bundle_dir, place, name)
    before = None
    if alias is not None:
        pointed = client.get_registered_model(name).aliases.get(alias)
        before = None if pointed in (None, version.version) else f"models:/{name}/{pointed}"
        client.set_registered_model_alias(name, alias, version.version)
    return Registered(
        version=f"models:/{name}/{version.version}",
        new=new,
        alias=alias and f"models:/{name}@{alias}",
        before=before,
        run_id=run_id,
        uri=mask(address),
        default_uri=address == resolved_uri(None, output_dir),
    )


def _origin(bundle_dir: Path, uri: str | None, output_dir: Path) -> tuple[str, str, str]:
    """Return the MLflow server, the run and the place among its artifacts that a bundle belongs to."""
    seed_dir = bundle_dir.resolve().parent.parent
    if is_seed(seed_dir):
        return _of_seed(seed_dir, bundle_dir, uri)
    from recsys_cli.tracking.mlflow_lookup import CACHE

    if seed_dir != (output_dir / CACHE).resolve():
        raise ConfigError(f"checkpoint={bundle_dir} belongs to no run: name it by its run, as checkpoint=<run id>")
    address = resolved_uri(uri, output_dir)
    return address, bundle_dir.resolve().parent.name, f"checkpoints/{bundle_dir.name}"


def _of_seed(seed_dir: Path, bundle_dir: Path, uri: str | None) -> tuple[str, str, str]:
    run_dir = seed_dir.parent
    address = tracked_uri(run_dir) if uri is None else resolved_uri(uri, run_dir.parent)
    check_uri(address)
    with locked(run_dir / LOCK, wait=False) as mine:
        if mine and uri is None:
            settle(run_dir, address)
    kept = stored_uri(address, run_dir.parent)
    if folders.read_uploaded(seed_dir, kept).run_id is None and uri is None:
        synced = sync_run(run_dir, None)  # the folder came without its MLflow
        if synced.error is not None:
            raise ConfigError(synced.error)
    run_id = folders.read_uploaded(seed_dir, kept).run_id
    if run_id is None:
        raise ConfigError(f"run {run_dir.name} is not in MLflow at {kept}: recsys sync {run_dir} to={kept}")
    place = folders.artifact_path(bundle_dir)
    assert place is not None, "resolve returns whole bundles"
    return address, run_id, place
