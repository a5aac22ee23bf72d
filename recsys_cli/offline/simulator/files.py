"""A learned simulator as an option of the user's own: a folder for `--config-dir`."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from recsys_cli.envs.learned_files import save
from recsys_cli.files import replacing, write_text
from recsys_cli.offline.simulator.check import Checked
from recsys_cli.offline.simulator.fit import Fitted

_YAML = """\
# Learned from {log}: {sessions:,} sessions, {steps:,} steps
_target_: recsys_cli.envs.learned.LearnedProblem
name: {name}
num_candidates: {candidates}               # documents to choose a slate from, (C)
slate_size: {slate_size}                   # documents shown at every step (k)
resample_documents: {resample}        # draw new candidates at every step; false: one set per user for good
backend: native                 # the only one
horizon: {horizon}                   # steps until an episode is truncated; null: until the user leaves
tensors: {name}.safetensors     # what was learned, beside this file
digest: {digest}        # of that file
"""


def option_file(folder: Path, name: str) -> Path:
    """Return the yaml of a learned simulator."""
    return folder / "env" / f"{name}.yaml"


def write(folder: Path, name: str, log: str, fitted: Fitted, checked: Checked) -> None:
    """Write tensors, report and, last, the yaml by which the option exists."""
    model, spec = fitted.model, fitted.model.spec
    with replacing(folder / "env" / f"{name}.safetensors") as temporary:
        digest = save(model, temporary)
    write_text(folder / f"{name}.json", json.dumps(report(log, fitted, checked), indent=2, allow_nan=False))
    fewest = spec.min_candidates
    text = _YAML.format(
        log=log,
        sessions=fitted.train.sessions + fitted.test.sessions,
        steps=len(fitted.train) + len(fitted.test),
        name=name,
        candidates=spec.width if fewest is None else f"[{fewest}, {spec.width}]",
        slate_size=spec.slate_size,
        resample=str(spec.resample_documents).lower(),
        horizon="null" if spec.truncation is None else spec.truncation,
        digest=digest,
    )
    write_text(option_file(folder, name), text)


def report(log: str, fitted: Fitted, checked: Checked) -> dict[str, Any]:
    """Return forms, checks and verdict in plain values; numbers that are not finite become None."""
    checks = [asdict(check) | {"equal": check.equal} for check in checked.checks]
    return {
        "log": log,
        "sessions": {"fitted": fitted.train.sessions, "held_out": checked.sessions, "simulated": checked.simulated},
        "policy": checked.policy,
        "forms": [_finite(asdict(form)) for form in fitted.forms],
        "checks": [_finite(check) for check in checks],
        "verdict": checked.verdict,
    }


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in values.items()}
