"""Changes to a folder's plan, by training and by the commands that come after it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_cli.files import read_jsonl_from, write_arrays, write_json
from recsys_cli.tracking import folder as folders
from recsys_cli.tracking.bundle import plain
from recsys_cli.tracking.folder import ARRAYS, EVALUATION, JOURNAL, RUNNING, SCHEDULED, UNFINISHED, Plan, edit_plan
from recsys_cli.tracking.provenance import flatten

if TYPE_CHECKING:
    import numpy as np

STATUS = {"running": RUNNING, "finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED", "killed": "KILLED"}
STATUS |= {
    "waiting": SCHEDULED,
    "paused": SCHEDULED,
    "pruned": "FINISHED",
}  # pruned: a scheduler saw enough; a tag says so


def plan_evaluation(
    folder: Path,
    results: Mapping[str, Any],
    headline: Mapping[str, float] | None = None,
    file_name: str = EVALUATION,
    arrays: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write a results file to be uploaded at the next opportunity; any process may call this at any time."""
    rows = read_jsonl_from(folder / JOURNAL, 0)
    summary = summarise(results, headline, file_name, rows[-1][0]["steps"] if rows else 0)
    write_results(folder / file_name, results, arrays)
    edit_plan(folder, lambda plan: plan.evaluations.update({file_name: summary}))


def write_results(file: Path, results: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None) -> None:
    """Write a results file, and beside it, as `.npz`, the arrays that it sums up."""
    if arrays is not None:
        write_arrays(file.with_suffix(ARRAYS), arrays)
    write_json(file, plain(results, "results"))


def summarise(
    results: Mapping[str, Any], headline: Mapping[str, float] | None, file_name: str, steps: int
) -> dict[str, Any]:
    """Return the time, steps and metrics (`<file>/<key>`) under which an evaluation is logged.

    Args:
        results: of the evaluation; its own `steps` takes precedence over the argument.
        headline: the main numbers; None: every number in `results`, nested keys dotted.
        file_name: the results file, whose stem prefixes the metrics' names.
        steps: steps of the checkpoint, if not in `results`.
    """
    numbers = flatten(plain(results if headline is None else headline, "results"))
    metrics = {f"{Path(file_name).stem}/{key}": float(value) for key, value in numbers.items() if _number(value)}
    return {"time": time.time(), "steps": int(results.get("steps") or steps), "metrics": metrics}


def plan_status(folder: Path, status: str, ended: float | None = None) -> None:
    """Set the status that MLflow should show, in MLflow's words or those of `seed.json`.

    Args:
        folder: the tracked folder.
        status: RUNNING, SCHEDULED, FINISHED, FAILED, KILLED, or as `STATUS` names them.
        ended: Unix time in seconds; None: now.
    """
    asked = status.lower()
    found = STATUS.get(asked, status.upper())
    if found not in STATUS.values():
        raise ValueError(f"status {status!r} is not one of {', '.join(STATUS)}")

    def change(plan: Plan) -> None:
        plan.status = found
        plan.tags["state"] = asked
        plan.ended = None if found in UNFINISHED else int(1000 * (time.time() if ended is None else ended))

    edit_plan(folder, change)


def joint_status(seed_dirs: list[Path]) -> str:
    """Return the status of a run with several seeds: the worst of theirs."""
    plans = [folders.read_plan(folder) for folder in seed_dirs]
    found = {plan.status for plan in plans if plan is not None}
    return next((status for status in ("FAILED", "KILLED", *UNFINISHED) if status in found), "FINISHED")


def missing_lines(tracked: list[Path], uri: str) -> list[str]:
    """Return one line for each folder that is not fully on the server at `uri` (masked)."""
    lines = []
    for folder in tracked:
        parts = folders.pending(folder, uri)
        if parts:
            lines.append(f"{folder.name}: {', '.join(parts)}")
    return lines


def _number(value: object) -> bool:
    return isinstance(value, int | float)
