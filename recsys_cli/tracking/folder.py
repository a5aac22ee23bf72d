"""What MLflow should hold about a folder, what it holds already, and the difference.

A tracked folder is a seed's folder, or a run's folder that stands for the parent of several seeds:

    tracking.json   the plan: address, params, tags, checkpoints, evaluation and status that MLflow should show
    metrics.jsonl   the journal: every report, MLflow or not
    uploaded.json   what one MLflow server has of both
    config.yaml     the run's resolved config, in the folder itself or the one above

The difference is uploaded, so that training, resumed training and `recsys sync` use the same code and a process killed
at any moment loses nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from recsys_cli.config.errors import ConfigError, one_line
from recsys_cli.config.notices import warn
from recsys_cli.files import (
    append_jsonl,
    read_if_sound,
    read_json,
    read_jsonl_from,
    update_json,
    write_json,
    write_text,
)
from recsys_cli.tracking.provenance import mask

PLAN = "tracking.json"
UPLOADED = "uploaded.json"
JOURNAL = "metrics.jsonl"
CONFIG = "config.yaml"
SEED = "seed.json"
EVALUATION, ARRAYS = "evaluation.json", ".npz"  # the latter beside it: what each user brought
RUNNING, SCHEDULED = "RUNNING", "SCHEDULED"
UNFINISHED = (RUNNING, SCHEDULED)


@dataclass
class Plan:
    """What MLflow should show of a folder.

    Attributes:
        uri: tracking URI as `address.stored_uri` has it; None with tracking off.
        experiment: MLflow experiment.
        name: MLflow run name.
        id: the local id, a tag of the MLflow run, to find runs that were made but not recorded.
        parent: the parent's folder relative to this one, or None.
        params: flat config.
        tags: MLflow tags.
        started: Unix time in milliseconds.
        status: RUNNING, SCHEDULED (paused), FINISHED, FAILED or KILLED.
        ended: Unix time in milliseconds, None while it is not over.
        bundles: checkpoint folder of each alias (`best`, `last`), relative to this one.
        training_state: whether `last` is uploaded with the state for resuming.
        evaluations: time, steps and metrics of each results file (`evaluation.json`) in the folder.
        register: name to register the best bundle under, or None.
        place: where the folder was when this was written; elsewhere now, it was moved or copied (see `home`).
        former_ids: ids by which it was known before: of MLflow runs elsewhere, of the folder that it is a copy of.
    """

    uri: str | None
    experiment: str
    name: str
    id: str
    parent: str | None
    params: dict[str, str | int | float]
    tags: dict[str, str]
    started: int
    status: str = RUNNING
    ended: int | None = None
    bundles: dict[str, str] = field(default_factory=dict)
    training_state: bool = False
    evaluations: dict[str, dict[str, Any]] = field(default_factory=dict)
    register: str | None = None
    place: str | None = None
    former_ids: list[str] = field(default_factory=list)


@dataclass
class Uploaded:
    """What the MLflow server at `uri` has of a folder.

    Attributes:
        uri: tracking URI as stored in the plan; another address starts from nothing.
        run_id: MLflow run id.
        rows: rows of the journal uploaded.
        bytes: where those rows end in the journal.
        skip_until: steps up to which rows were uploaded before a resumed training wrote them again.
        config: the run's config as last uploaded.
        params: params as first logged (MLflow never changes one).
        tags: tags as last set.
        bundles: artifact path of each alias.
        evaluations: time of each uploaded results file.
        registered: `models:/name/version` of each artifact path registered.
        status: status as last set.
    """

    uri: str
    run_id: str | None = None
    rows: int = 0
    bytes: int = 0
    skip_until: int = -1
    config: str | None = None
    params: dict[str, str | int | float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    bundles: dict[str, str] = field(default_factory=dict)
    evaluations: dict[str, float] = field(default_factory=dict)
    registered: dict[str, str] = field(default_factory=dict)
    status: str | None = None


def read_plan(folder: Path) -> Plan | None:
    """Return a folder's plan, or None if it was never tracked."""
    values = read_json(folder / PLAN)
    return None if values is None else _plan(folder, values)


def sound_plan(folder: Path) -> Plan | None:
    """Return a folder's plan; None if it was never tracked or, with a warning, if the plan is damaged."""
    try:
        return read_plan(folder)
    except (ConfigError, OSError) as error:
        warn(f"{error}; skipped")
        return None


def edit_plan(folder: Path, change: Callable[[Plan], None]) -> None:
    """Let `change` edit the plan; safe among threads and processes. Does nothing if there is no plan."""

    def edit(values: dict[str, Any]) -> None:
        plan = _plan(folder, values)
        change(plan)
        values.update(asdict(plan))

    if (folder / PLAN).exists():
        update_json(folder / PLAN, edit)


def save_plan(folder: Path, plan: Plan) -> None:
    """Overwrite a folder's plan."""
    write_json(folder / PLAN, asdict(plan))


def read_uploaded(folder: Path, uri: str) -> Uploaded:
    """Return what the server at `uri` (as stored) has of a folder: nothing, if another server was used before."""
    values = read_if_sound(folder / UPLOADED)
    if values.get("uri") != uri:
        return Uploaded(uri)
    return Uploaded(**_known(Uploaded, values))


def save_uploaded(folder: Path, uploaded: Uploaded) -> None:
    """Remember what was uploaded."""
    write_json(folder / UPLOADED, asdict(uploaded))


def forget_uploaded(folder: Path) -> None:
    """Forget what an MLflow server had, since its run is not that of this folder (any more); its id stays known."""
    run_id = read_if_sound(folder / UPLOADED).get("run_id")
    if run_id is not None:
        edit_plan(folder, lambda plan: plan.former_ids.append(run_id))
    (folder / UPLOADED).unlink(missing_ok=True)


def run_config(folder: Path) -> str | None:
    """Return the run's config as yaml text, credentials masked; None if the run has none."""
    places = [place / CONFIG for place in (folder, folder.parent) if (place / CONFIG).is_file()]
    return mask(places[0].read_text(encoding="utf-8")) if places else None


def append_report(folder: Path, steps: int, seconds: float, metrics: dict[str, float]) -> None:
    """Append one report to the journal: steps, Unix time in seconds, metrics."""
    append_jsonl(folder / JOURNAL, {"steps": steps, "time": seconds, "metrics": metrics})


def rewind(folder: Path, steps: int) -> None:
    """Drop the reports after `steps`: a training resumed there writes them again.

    MLflow cannot delete them, so repeated rows up to the last uploaded one count as uploaded; MLflow then has each env
    step once.
    """
    journal = folder / JOURNAL
    rows = read_jsonl_from(journal, 0)
    kept = [row for row, _ in rows if row["steps"] <= steps]
    if len(kept) == len(rows):
        return
    values = read_if_sound(folder / UPLOADED)
    if values:
        uploaded = Uploaded(**_known(Uploaded, values))
        gone = [row["steps"] for row, _ in rows[: uploaded.rows] if row["steps"] > steps]
        uploaded.skip_until = max(gone, default=uploaded.skip_until)
        uploaded.rows = min(uploaded.rows, len(kept))
        uploaded.bytes = len(_lines(kept[: uploaded.rows]).encode())
        save_uploaded(folder, uploaded)
    write_text(journal, _lines(kept))


def pending(folder: Path, uri: str) -> list[str]:
    """Return short descriptions of what a folder has that the server at `uri` (as stored) lacks."""
    plan = read_plan(folder)
    if plan is None:
        return []
    done = read_uploaded(folder, uri)
    rows = len(read_jsonl_from(folder / JOURNAL, done.bytes))
    bundles = sorted(alias for alias, path in plan.bundles.items() if not _has(done, alias, folder / path))
    parts = {
        f"{rows} report{'s' * (rows != 1)}": rows > 0,
        "config": done.config != run_config(folder),
        "params": any(key not in done.params for key in plan.params),
        "tags": any(done.tags.get(key) != value for key, value in plan.tags.items()),
        f"checkpoint {' and '.join(bundles)}": bool(bundles),
        "evaluation": any(done.evaluations.get(name) != item["time"] for name, item in plan.evaluations.items()),
        "model version": plan.register is not None and done.bundles.get("best") not in done.registered,
        f"status {plan.status}": plan.status != done.status,
    }
    return [name for name, missing in parts.items() if missing]


def artifact_path(bundle_dir: Path) -> str | None:
    """Return a bundle's path among a run's artifacts: `checkpoints/<folder>-<hash of recsys.yaml>`.

    The hash is needed because artifacts cannot be replaced atomically: other content gets another path, and tags of the
    run, which change atomically, name the best and the last. None if it is not a bundle (any more): a checkpoint that
    was pruned before it was uploaded.
    """
    from recsys_cli.tracking.bundle import MANIFEST, is_bundle  # not above: shell completion reads folders too

    manifest = bundle_dir / MANIFEST
    if not is_bundle(bundle_dir):
        return None
    return f"checkpoints/{bundle_dir.name}-{hashlib.sha256(manifest.read_bytes()).hexdigest()[:8]}"


def _has(done: Uploaded, alias: str, bundle_dir: Path) -> bool:
    return artifact_path(bundle_dir) in (None, done.bundles.get(alias))


def _lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _plan(folder: Path, values: dict[str, Any]) -> Plan:
    try:
        return Plan(**_known(Plan, values))
    except TypeError as error:
        raise ConfigError(f"{folder / PLAN} is damaged: {one_line(error)}") from None


def _known(schema: type, values: dict[str, Any]) -> dict[str, Any]:
    """Drop unknown keys, which a newer version may have written."""
    names = {item.name for item in fields(schema)}
    return {key: value for key, value in values.items() if key in names}
