"""Bring one tracked folder's MLflow run up to its plan and journal; every step may be repeated without harm."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_cli.files import read_jsonl_from, update_json
from recsys_cli.tracking import mlflow_bundles
from recsys_cli.tracking.address import stored_uri
from recsys_cli.tracking.folder import (
    ARRAYS,
    CONFIG,
    JOURNAL,
    SEED,
    UNFINISHED,
    Plan,
    Uploaded,
    forget_uploaded,
    read_plan,
    read_uploaded,
    run_config,
    save_uploaded,
)
from recsys_cli.tracking.mlflow_client import connect, experiment_id

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

ID_TAG = "recsys.id"
METRICS_A_BATCH, PARAMS_A_BATCH = 1000, 100  # MLflow's limits
KEY_LENGTH, PARAM_LENGTH, TAG_LENGTH = 250, 6000, 5000
_NOT_IN_KEYS = re.compile(r"[^\w\-. /:]")


class MlflowUploader:
    """Uploads what an MLflow server lacks of tracked folders.

    Metrics carry the journal's times, so that a report sent twice (if the reply was lost) is one point in MLflow.

    Args:
        uri: MLflow tracking URI.
        output_dir: the folder of runs.
    """

    def __init__(self, uri: str, output_dir: Path) -> None:
        """Do nothing costly: MLflow is imported at the first call."""
        self._uri = uri
        self._output_dir = output_dir
        self._client: MlflowClient | None = None
        self._checked: set[Path] = set()

    def connect(self) -> None:
        """Import MLflow and make the first call, which creates or migrates a SQLite file."""
        self._client = self._client or connect(self._uri)
        self._client.search_experiments(max_results=1)

    def sync(self, folder: Path) -> None:
        """Upload the difference between a folder and its MLflow run.

        Raises:
            Exception: any MLflow error; what was uploaded until then is remembered.
        """
        plan = read_plan(folder)
        if plan is None:
            return
        self._client = self._client or connect(self._uri)
        done = self._run(folder, plan)
        self._log_config(folder, done)
        self._log_params_and_tags(folder, plan, done)
        self._log_reports(folder, done)
        mlflow_bundles.upload(self._client, folder, plan, done)
        self._log_evaluations(folder, plan, done)
        self._set_status(folder, plan, done)
        mlflow_bundles.register(self._client, folder, plan, done)

    @property
    def client(self) -> MlflowClient:
        """The connected client."""
        if self._client is None:
            raise RuntimeError("not connected")
        return self._client

    def _run(self, folder: Path, plan: Plan) -> Uploaded:
        """Return what the server has of the folder, its run made, found again or reopened first."""
        done = read_uploaded(folder, stored_uri(self._uri, self._output_dir))
        if done.run_id is not None and folder not in self._checked and not self._exists(done.run_id):
            done = Uploaded(done.uri)  # the server lost it: a new database, for one
        if done.run_id is None:
            forget_uploaded(folder)
            done.run_id = self._find(plan) or self._create(folder, plan)
            self._record(folder, done)
        if plan.status in UNFINISHED and done.status != plan.status:
            self.client.update_run(done.run_id, status=plan.status)
            done.status = plan.status
            save_uploaded(folder, done)
        self._checked.add(folder)
        return done

    def _exists(self, run_id: str) -> bool:
        from mlflow.exceptions import MlflowException

        try:
            self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
        return True

    def _find(self, plan: Plan) -> str | None:
        """Find the run that a killed process made but did not record."""
        experiment = self.client.get_experiment_by_name(plan.experiment)
        if experiment is None:
            return None
        query = f"tags.`{ID_TAG}` = '{plan.id}'"
        found = self.client.search_runs([experiment.experiment_id], query, max_results=1)
        return found[0].info.run_id if found else None

    def _create(self, folder: Path, plan: Plan) -> str:
        tags = {ID_TAG: plan.id, **_standard_tags(plan.tags)}
        parent_dir = None if plan.parent is None else (folder / plan.parent).resolve()
        parent = None if parent_dir is None else read_plan(parent_dir)
        if parent_dir is not None and parent is not None:
            tags["mlflow.parentRunId"] = str(self._run(parent_dir, parent).run_id)
        experiment = experiment_id(self.client, plan.experiment, self._uri, self._output_dir)
        run = self.client.create_run(experiment, start_time=plan.started, tags=tags, run_name=plan.name)
        return run.info.run_id

    def _record(self, folder: Path, done: Uploaded) -> None:
        save_uploaded(folder, done)
        if (folder / SEED).exists():
            update_json(folder / SEED, lambda seed: seed.update(mlflow_run_id=done.run_id))

    def _log_config(self, folder: Path, done: Uploaded) -> None:
        """Upload the run's config as an artifact, again if a resumed training changed it."""
        config = run_config(folder)
        if config is not None and config != done.config:
            self.client.log_text(str(done.run_id), config, CONFIG)
            done.config = config
            save_uploaded(folder, done)

    def _log_params_and_tags(self, folder: Path, plan: Plan, done: Uploaded) -> None:
        """Log new params; one that a resumed training changed becomes a tag, since MLflow never changes a param."""
        from mlflow.entities import Param, RunTag

        changed = {
            f"resumed.{key}": str(value) for key, value in plan.params.items() if done.params.get(key, value) != value
        }
        tags = {**plan.tags, **changed}
        new_tags = {key: value for key, value in tags.items() if done.tags.get(key) != value}
        new_params = {key: value for key, value in plan.params.items() if key not in done.params}
        for batch in _batches(new_params):
            params = [Param(_key(key), str(value)[:PARAM_LENGTH]) for key, value in batch.items()]
            self.client.log_batch(str(done.run_id), params=params)
            done.params.update(batch)
            save_uploaded(folder, done)
        for batch in _batches(new_tags):
            run_tags = [RunTag(_key(key), value[:TAG_LENGTH]) for key, value in batch.items()]
            self.client.log_batch(str(done.run_id), tags=run_tags)
            done.tags.update(batch)
            save_uploaded(folder, done)

    def _log_reports(self, folder: Path, done: Uploaded) -> None:
        """Log the journal's new rows: one batch a report, or many reports a batch when catching up."""
        batch: list[Metric] = []
        rows, end = 0, done.bytes
        for row, row_end in read_jsonl_from(folder / JOURNAL, done.bytes):
            metrics = [] if row["steps"] <= done.skip_until else _metrics(row)
            if len(batch) + len(metrics) > METRICS_A_BATCH:
                self._flush(folder, done, batch, rows, end)
                batch, rows = [], 0
            batch, rows, end = batch + metrics, rows + 1, row_end
        self._flush(folder, done, batch, rows, end)

    def _flush(self, folder: Path, done: Uploaded, batch: list[Metric], rows: int, end: int) -> None:
        for start in range(0, len(batch), METRICS_A_BATCH):
            self.client.log_batch(str(done.run_id), metrics=batch[start : start + METRICS_A_BATCH])
        if rows:
            done.rows, done.bytes = done.rows + rows, end
            save_uploaded(folder, done)

    def _log_evaluations(self, folder: Path, plan: Plan, done: Uploaded) -> None:
        for name, evaluation in plan.evaluations.items():
            if evaluation["time"] != done.evaluations.get(name):
                log_results(self.client, str(done.run_id), folder / name, evaluation)
                done.evaluations[name] = evaluation["time"]
                save_uploaded(folder, done)

    def _set_status(self, folder: Path, plan: Plan, done: Uploaded) -> None:
        if plan.status != done.status:
            self.client.set_terminated(str(done.run_id), plan.status, plan.ended)
            done.status = plan.status
            save_uploaded(folder, done)


def log_results(client: MlflowClient, run_id: str, file: Path, evaluation: dict[str, Any]) -> None:
    """Upload a results file, and the arrays beside it, and log its numbers: time, steps and metrics."""
    for path in {file, file.with_suffix(ARRAYS)}:
        if path.exists():  # else removed by hand: its numbers are in the plan
            client.log_artifact(run_id, str(path))
    metrics = _metrics(evaluation)
    for start in range(0, len(metrics), METRICS_A_BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + METRICS_A_BATCH])


def _metrics(row: dict[str, Any]) -> list[Metric]:
    """Turn one report into MLflow metrics at its steps and time; non-finite values are dropped."""
    from mlflow.entities import Metric

    finite = {_key(name): value for name, value in row["metrics"].items() if math.isfinite(value)}
    return [Metric(name, value, int(row["time"] * 1000), row["steps"]) for name, value in finite.items()]


def _batches(values: dict[str, Any]) -> list[dict[str, Any]]:
    items = list(values.items())
    return [dict(items[start : start + PARAMS_A_BATCH]) for start in range(0, len(items), PARAMS_A_BATCH)]


def _key(name: str) -> str:
    return _NOT_IN_KEYS.sub("_", name)[:KEY_LENGTH]


def _standard_tags(tags: dict[str, str]) -> dict[str, str]:
    """Return the tags shown on MLflow's own pages: what ran, at which commit."""
    standard = {"mlflow.source.type": "LOCAL", "mlflow.source.name": tags.get("command", "recsys")[:TAG_LENGTH]}
    if "git_commit" in tags:
        standard["mlflow.source.git.commit"] = tags["git_commit"]
    return standard
