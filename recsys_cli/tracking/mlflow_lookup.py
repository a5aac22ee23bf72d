"""Checkpoint bundles that are only in MLflow: found by run or model, downloaded once into a cache."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_cli.config.errors import ConfigError, closest
from recsys_cli.files import atomic_dir
from recsys_cli.tracking.address import sqlite_path
from recsys_cli.tracking.bundle import MANIFEST, TENSORS
from recsys_cli.tracking.folder import EVALUATION
from recsys_cli.tracking.local_runs import ALIASES
from recsys_cli.tracking.mlflow_bundles import BUNDLE_TAG, PLACES
from recsys_cli.tracking.mlflow_client import connect
from recsys_cli.tracking.mlflow_tracker import ID_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

CACHE = Path(".cache", "mlflow")
MODELS_LISTED = 20
_PLACE = re.compile(r"checkpoints/[\w.-]*\w")
_MODEL = re.compile(r"models:/(?P<name>[^/@]+)(/(?P<version>\d+|latest)|@(?P<alias>[^/@]+))")


class Lookup:
    """Finds bundles on one MLflow server.

    Args:
        uri: MLflow tracking URI.
        output_dir: the folder of runs; downloads go to `.cache/mlflow` in it.
        say: called if a checkpoint other than the requested one is used.
    """

    def __init__(self, uri: str, output_dir: Path, say: Callable[[str], None], key: str = "checkpoint") -> None:
        """Do nothing yet: MLflow is imported when there is a database or a server to ask."""
        self._uri = uri
        self._cache = output_dir / CACHE
        self._say, self._key = say, key  # the key names the setting in messages

    def of_run(self, name: str, alias: str) -> Path | None:
        """Return the bundle of an MLflow run id, a seed's local id or a run's name; None if MLflow has no such run.

        Raises:
            ConfigError: several seeds, or no checkpoint.
        """
        if not self._there():
            return None
        client = connect(self._uri)
        run = _find_run(client, name, self._key)
        return None if run is None else self._fetch(client, _with_bundle(client, run), alias)

    def of_model(self, reference: str) -> Path:
        """Return the bundle of `models:/name/version`, `models:/name/latest` or `models:/name@alias`.

        Raises:
            ConfigError: no such model or version; the message lists those there are.
        """
        match = _MODEL.fullmatch(reference)
        if match is None:
            raise ConfigError(
                f"{self._key}={reference!r}: models are named models:/<name>/<version> or models:/<name>@<alias>"
            )
        if not self._there():
            raise ConfigError(f"{self._key}={reference!r} was not found: there is no {sqlite_path(self._uri)} yet")
        client = connect(self._uri)
        version = _find_version(client, self._key, reference, **match.groupdict())
        source = str(version.source)
        owner = version.run_id or hashlib.sha256(source.encode()).hexdigest()[:32]
        return self._download(source, owner)

    def _there(self) -> bool:
        """Return whether there is anything to ask: a query must not create a missing SQLite file."""
        path = sqlite_path(self._uri)
        return path is None or path.is_file()

    def _fetch(self, client: MlflowClient, run: Run, alias: str) -> Path:
        run_id = run.info.run_id
        places = {key.removeprefix(BUNDLE_TAG): value for key, value in run.data.tags.items() if _is_place(key, value)}
        if alias not in ALIASES:
            found = [item.path for item in client.list_artifacts(run_id, "checkpoints")]
            named = {path.removeprefix("checkpoints/").rpartition("-")[0]: path for path in found}
            if alias not in named:
                raise ConfigError(
                    f"MLflow run {run_id} has no checkpoint {alias!r}; it has {', '.join(named) or 'none'}"
                )
            return self._download(f"{run.info.artifact_uri}/{named[alias]}", run_id)
        if not places:
            raise ConfigError(f"MLflow run {run_id} has no checkpoint")
        used = alias if alias in places else next(iter(places))
        if used != alias:
            self._say(f"MLflow run {run_id} has no {alias!r} checkpoint; using {used}, {places[used]}")
        return self._download(f"{run.info.artifact_uri}/{places[used]}", run_id)

    def _download(self, source: str, owner: str) -> Path:
        """Download a bundle's two files; a place's content never changes, so one download is enough.

        The run's own evaluation, if any, is downloaded too, so that a later evaluation can be distinguished from it.
        """
        from mlflow.artifacts import download_artifacts, list_artifacts

        target = self._cache / owner / Path(source).name
        if not target.is_dir():
            root, in_run, _ = source.partition(f"/{PLACES}/")
            with atomic_dir(target) as temporary:
                for name in (TENSORS, MANIFEST):
                    download_artifacts(f"{source}/{name}", dst_path=str(temporary), tracking_uri=self._uri)
                there = list_artifacts(root, tracking_uri=self._uri) if in_run else []
                if EVALUATION in {Path(item.path).name for item in there}:
                    download_artifacts(f"{root}/{EVALUATION}", dst_path=str(target.parent), tracking_uri=self._uri)
        return target


def _is_place(key: str, value: str) -> bool:
    return key.startswith(BUNDLE_TAG) and _PLACE.fullmatch(value) is not None


def _find_run(client: MlflowClient, name: str, key: str) -> Run | None:
    from mlflow.exceptions import MlflowException

    if re.fullmatch(r"[0-9a-f]{32}", name):
        try:
            return client.get_run(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    if not re.fullmatch(r"[\w./ -]+", name):  # quotes would break out of the query
        return None
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    for query in (f"tags.`{ID_TAG}` = '{name}'", f"attributes.run_name = '{name}'"):
        found = client.search_runs(experiments, query, max_results=2)
        if len(found) > 1:
            ids = ", ".join(run.info.run_id for run in found)
            raise ConfigError(f"{key}={name!r}: several MLflow runs have this name; give an id: {ids}")
        if found:
            return found[0]
    return None


def _with_bundle(client: MlflowClient, run: Run) -> Run:
    """Return the run itself or, for the parent of one seed, that seed's run."""
    query = f"tags.`mlflow.parentRunId` = '{run.info.run_id}'"
    if any(_is_place(key, value) for key, value in run.data.tags.items()):
        return run
    children = client.search_runs([run.info.experiment_id], query, order_by=["attributes.run_name ASC"])
    if len(children) > 1:
        names = ", ".join(f"{child.info.run_id} ({child.info.run_name})" for child in children)
        raise ConfigError(f"MLflow run {run.info.run_id} has {len(children)} seeds; name one: {names}")
    return children[0] if children else run


def _find_version(
    client: MlflowClient, key: str, reference: str, name: str, version: str | None, alias: str | None
) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        if alias is not None:
            return client.get_model_version_by_alias(name, alias)
        if version is not None and version != "latest":
            return client.get_model_version(name, version)
        found = client.search_model_versions(f"name='{name}'")
        if found:
            return max(found, key=lambda item: int(item.version))
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
    known = registered(client)
    near = closest(reference, known)
    raise ConfigError(f"{key}={reference!r} was not found; registered: {', '.join(known) or 'no model'}.{near}")


def registered(client: MlflowClient) -> list[str]:
    """Return the references of registered models, aliases behind versions; of many models the first."""
    found = []
    for model in client.search_registered_models(max_results=MODELS_LISTED):
        versions = client.search_model_versions(f"name='{model.name}'")
        found += [f"models:/{model.name}/{item.version}" for item in versions]
        found += [f"models:/{model.name}@{alias}" for alias in client.get_registered_model(model.name).aliases]
    return found
