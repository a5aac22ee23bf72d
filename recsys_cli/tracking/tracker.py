"""Tracking of one run: the journal on disk at once, MLflow later.

The journal and `tracking.json` are written before anything else; a background thread brings MLflow up to date. If the
server is down, training continues and nothing is lost: see `folder` for what is on disk.
"""

from __future__ import annotations

import shlex
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from recsys_cli.config.errors import ConfigError
from recsys_cli.files import locked, read_if_sound, read_jsonl, update_json
from recsys_cli.tracking import folder as folders
from recsys_cli.tracking.address import stored_uri
from recsys_cli.tracking.background import Background
from recsys_cli.tracking.folder import EVALUATION, JOURNAL, SEED, Plan, edit_plan
from recsys_cli.tracking.home import address, settle
from recsys_cli.tracking.planning import STATUS, joint_status, missing_lines, plan_evaluation, plan_status
from recsys_cli.tracking.provenance import flatten, mask

if TYPE_CHECKING:
    import numpy as np

LOCK = ".tracker.lock"


class Tracker:
    """Takes the driver's reports about a run's seeds; use it as a context manager.

    Args:
        run_dir: the run's folder; seeds are folders inside it.
        enabled: whether MLflow gets anything; the journal is written either way.
        uri: MLflow tracking URI; None: `sqlite:///<output_dir>/mlflow.db`, artifacts in `<output_dir>/mlartifacts`.
        experiment: MLflow experiment.
        register_model: name to register the best checkpoint of the finished seeds under, or None.
        upload_training_state: whether the last checkpoint goes to MLflow with the state for resuming (incl. replay).
        say: gets one-line notices, always called from the caller's own thread.

    Raises:
        ConfigError: a tracking URI that is not an MLflow store's, or another process is training this run.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        enabled: bool,
        uri: str | None,
        experiment: str,
        register_model: str | None,
        say: Callable[[str], None],
        upload_training_state: bool = False,
    ) -> None:
        """Take the run folder's lock."""
        self._run_dir = Path(run_dir).resolve()
        self._experiment = experiment
        self._register_model = register_model if enabled else None
        self._training_state = upload_training_state
        self._say = say
        self._seeds: list[Path] = []
        self._parents: list[Path] = []
        self._reported: dict[Path, int] = {}
        self._closed = False
        self.uri = address(self._run_dir, uri) if enabled else None
        self._run_dir.mkdir(parents=True, exist_ok=True)
        self._lock = ExitStack()
        if not self._lock.enter_context(locked(self._run_dir / LOCK, wait=False)):
            raise ConfigError(f"run {self._run_dir.name} is in use by another process (training or syncing)")
        settle(self._run_dir, self.uri)
        self._background = Background(self.uri, self._run_dir) if self.uri is not None else None

    def open(
        self,
        folder: Path,
        *,
        params: Mapping[str, Any],
        tags: Mapping[str, Any],
        parent: Path | None = None,
        resumed_from: int | None = None,
    ) -> None:
        """Start or continue tracking a seed's folder (or a run's): one tracked before keeps its MLflow run.

        Args:
            folder: the seed's.
            params: config, nested or flat.
            tags: command, git commit, versions, seed and so on; nested keys are dotted.
            parent: the run's folder when it has several seeds; their MLflow runs are nested under one of its own.
                Open it first, by `open(run_dir, ...)`, to give it params.
            resumed_from: steps of the checkpoint that a resumed training starts from; later reports are dropped
                from the journal since they come again.
        """
        folder = Path(folder).resolve()
        if parent is not None and (parent := Path(parent).resolve()) not in self._parents:
            if parent not in self._seeds:
                self.open(parent, params={}, tags={key: tags[key] for key in tags if key != "seed"})
            self._seeds.remove(parent)
            self._parents.append(parent)
        if resumed_from is not None:
            self.rewind(folder, resumed_from)
        old = folders.sound_plan(folder)
        plan = self._plan(folder, flatten(params), flatten(tags), parent, old)
        folders.save_plan(folder, plan)
        if folder not in self._seeds:
            self._seeds.append(folder)
        self._wake(folder, soon=False)

    def rewind(self, folder: Path, steps: int) -> None:
        """Drop the journal's reports after `steps`: call it when a seed starts again from a checkpoint there."""
        folder = Path(folder).resolve()
        if self._last_report(folder) <= steps:
            return  # and no waiting for an upload
        self._reported.pop(folder, None)
        if self._background is None:
            folders.rewind(folder, steps)
        else:
            with self._background.paused():
                folders.rewind(folder, steps)

    def log(self, folder: Path, steps: int, metrics: Mapping[str, float]) -> None:
        """Report metrics at `steps`: in the journal when this returns, in MLflow soon after.

        Steps that do not grow mean that the seed began again: the later reports are dropped, as by `rewind`.
        """
        folder = Path(folder).resolve()
        if steps <= self._last_report(folder):
            self.rewind(folder, steps - 1)
        self._reported[folder] = steps
        values = {name: float(value) for name, value in metrics.items()}
        folders.append_report(folder, int(steps), time.time(), values)
        self._wake(folder)

    def upload_bundle(self, folder: Path, bundle_dir: Path, alias: str) -> None:
        """Make a checkpoint bundle the MLflow run's `best` or `last`; an older one of that alias is replaced."""
        folder, bundle_dir = Path(folder).resolve(), Path(bundle_dir).resolve()
        path = str(bundle_dir.relative_to(folder))
        edit_plan(folder, lambda plan: plan.bundles.update({alias: path}))
        self._wake(folder)

    def log_evaluation(
        self,
        folder: Path,
        results: Mapping[str, Any],
        headline: Mapping[str, float] | None = None,
        file_name: str = EVALUATION,
        arrays: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Write `evaluation.json`, and upload it with its headline numbers as metrics `evaluation/...`.

        Args:
            folder: the seed's folder.
            results: content of the file.
            headline: numbers that become metrics; None: every number in `results`, nested keys dotted.
            file_name: the file; another name keeps another evaluation beside the first.
            arrays: what the results sum up, kept beside the file as `.npz`.
        """
        folder = Path(folder).resolve()
        plan_evaluation(folder, results, headline, file_name, arrays)
        self._wake(folder)

    def add_file(self, folder: Path, file_name: str) -> None:
        """Upload a file of the seed's folder, such as a table or a figure; again if it was added before."""
        file = {"time": time.time(), "steps": 0, "metrics": {}}
        edit_plan(Path(folder).resolve(), lambda plan: plan.evaluations.update({file_name: file}))
        self._wake(folder)

    def tag(self, folder: Path, tags: Mapping[str, Any]) -> None:
        """Set tags of a seed."""
        flat = {key: str(value) for key, value in flatten(tags).items()}
        edit_plan(Path(folder).resolve(), lambda plan: plan.tags.update(flat))
        self._wake(folder)

    def set_status(self, folder: Path, status: str) -> None:
        """Set the status of a seed: as MLflow has it, or as `seed.json` has (see `planning.plan_status`)."""
        folder = Path(folder).resolve()
        plan_status(folder, status)
        self._wake(folder, soon=STATUS.get(status.lower(), status.upper()) not in folders.UNFINISHED)

    def close(self, timeout: float = 60.0) -> list[str]:
        """Upload the rest, at most `timeout` seconds long, and return what is still missing, one line a folder.

        Seeds that were not closed count as KILLED. What is missing is also shown, with the command that uploads it.
        """
        if self._closed:
            return []
        self._closed = True
        self._close_running("KILLED")
        self._plan_registration()
        for parent in self._parents:
            plan = folders.read_plan(parent)
            if plan is not None and plan.status in folders.UNFINISHED:
                self.set_status(parent, joint_status(self._seeds))
        missing: list[str] = []
        if self._background is not None and self.uri is not None:
            self._background.finish(timeout)
            self._tell()
            missing = missing_lines([*self._parents, *self._seeds], str(self._stored_uri))
        if missing:
            self._say(
                f"MLflow at {mask(str(self.uri))} lacks {'; '.join(missing)}. All of it is on disk; upload it with: "
                f"recsys sync {shlex.quote(str(self._run_dir))}"
            )
        self._lock.close()
        return missing

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Close; the seeds still open are FAILED after an error, KILLED after Ctrl-C."""
        if kind is not None and issubclass(kind, Exception) and not self._closed:
            self._close_running("FAILED")
        self.close()

    def _close_running(self, status: str) -> None:
        for folder in self._seeds:
            plan = folders.read_plan(folder)
            if plan is not None and plan.status in folders.UNFINISHED:
                self.set_status(folder, status)

    def _plan(
        self, folder: Path, params: dict[str, Any], tags: dict[str, Any], parent: Path | None, old: Plan | None
    ) -> Plan:
        seed = update_json(folder / SEED, _give_id) if folder != self._run_dir else {}
        name = folder.relative_to(self._run_dir.parent).as_posix()
        if parent is None and folder.parent == self._run_dir:
            name = self._run_dir.name  # the only seed stands for the run
        plan = Plan(
            uri=self._stored_uri,
            experiment=self._experiment,
            name=name,
            id=seed.get("id") or (old.id if old else uuid.uuid4().hex),
            parent=None if parent is None else "..",
            params=params,
            tags={key: str(value) for key, value in tags.items()},
            started=old.started if old else int(time.time() * 1000),
            training_state=self._training_state,
            place=str(folder),
        )
        if old is not None:
            plan.bundles, plan.evaluations, plan.former_ids = old.bundles, old.evaluations, old.former_ids
        return plan

    @property
    def _stored_uri(self) -> str | None:
        return None if self.uri is None else stored_uri(self.uri, self._run_dir.parent)

    def _plan_registration(self) -> None:
        """Register the best bundle of the finished seeds, once all are known."""
        returns = {}
        for folder in self._seeds:
            plan = folders.read_plan(folder)
            best = read_if_sound(folder / "checkpoints" / "best.json")
            if self._register_model and plan and plan.status == "FINISHED" and "best" in plan.bundles:
                value = best.get("return")
                returns[folder] = float("-inf") if value is None else float(value)
        if returns:
            best_dir = max(returns, key=returns.__getitem__)
            edit_plan(best_dir, lambda plan: setattr(plan, "register", self._register_model))
            self._wake(best_dir)

    def _last_report(self, folder: Path) -> int:
        if folder not in self._reported:
            rows = read_jsonl(folder / JOURNAL)
            self._reported[folder] = rows[-1]["steps"] if rows else -1
        return self._reported[folder]

    def _wake(self, folder: Path, *, soon: bool = True) -> None:
        if self._background is not None:
            self._background.wake(folder, soon=soon)
            self._tell()

    def _tell(self) -> None:
        for notice in self._background.notices() if self._background is not None else ():
            self._say(notice)


def _give_id(seed: dict[str, Any]) -> None:
    seed.setdefault("id", uuid.uuid4().hex)
