"""A quiet, impatient MLflow client."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from recsys_cli.tracking.address import artifact_location, sqlite_path
from recsys_cli.tracking.database import prepare

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Set unless the user has: MLflow's own retries take minutes, ours come with later reports.
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # errors are raised too, and reported in one line
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_UV_AUTO_DETECT": "false",  # a lock file in the working folder says nothing about a model
}


def connect(uri: str) -> MlflowClient:
    """Return a client of the tracking store and registry at `uri`; seconds on the first call (import, migration)."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for name in ("alembic", "urllib3.connectionpool"):  # their INFO and retry lines would break the progress display
        logging.getLogger(name).setLevel(logging.ERROR)
    path = sqlite_path(uri)
    if path is not None:
        prepare(path)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


# MLflow shows the view at #/experiments/<id>/runs?viewStateShareKey=recsys&workflowType=machine_learning; without
# that, 3.17 opens its GenAI pages whatever the experiment's kind, and shows no metric or param as a column.
_COLUMNS = ("metrics.`eval/return`", "params.`env.name`", "params.`algo.name`", "params.`seed`", "tags.`state`")
VIEW = {
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.sharedViewState.recsys": json.dumps({"selectedColumns": _COLUMNS}),
}


def experiment_id(client: MlflowClient, name: str, uri: str, output_dir: Path) -> str:
    """Return the id of the experiment, made if missing, also when another training makes it at the same moment.

    It is tagged with its kind and a view of its runs, unless someone has chosen others.
    """
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return client.create_experiment(name, artifact_location=artifact_location(uri, output_dir), tags=VIEW)
        except MlflowException:
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    for key in VIEW.keys() - found.tags.keys():
        client.set_experiment_tag(found.experiment_id, key, VIEW[key])
    return found.experiment_id
