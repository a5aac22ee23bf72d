"""A learned simulator as an option of the user's own: a folder for `--config-dir`."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from recsys_cli.config.structured import to_plain
from recsys_cli.envs.learned_files import save
from recsys_cli.files import replacing, write_text
from recsys_cli.offline.simulator.check import Checked, problem_of
from recsys_cli.offline.simulator.fit import Fitted

KEYS = {  # with their comments
    "_target_": "",
    "name": "",
    "num_candidates": "documents to choose a slate from, at every step (C)",
    "slate_size": "documents shown at every step (k)",
    "resample_documents": "draw new candidates at every step; false: one set per user for good",
    "backend": "the only one",
    "horizon": "steps until an episode is truncated; null: it lasts until the user leaves",
    "tensors": "file of what was learned, in this folder",
    "digest": "of that file",
}


def option_file(folder: Path, name: str) -> Path:
    """Return the yaml of a learned simulator."""
    return folder / "env" / f"{name}.yaml"


def write(folder: Path, name: str, log: str, fitted: Fitted, checked: Checked) -> None:
    """Write tensors, report and, last, the yaml by which the option exists."""
    model, spec = fitted.model, fitted.model.spec
    tensors = folder.resolve() / "env" / f"{name}.safetensors"
    with replacing(tensors) as temporary:
        digest = save(model, temporary)
    write_text(folder / f"{name}.json", json.dumps(report(log, fitted, checked), indent=2, allow_nan=False))
    values = to_plain(problem_of(model, name, tensors, digest)) | {"tensors": tensors.name}
    plain = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
    lines = [f"{key}: {plain[key]}" for key in KEYS]
    head = f"# Learned from {log}: {spec.name}, {fitted.sessions:,} sessions, {fitted.steps:,} steps\n"
    lines = [f"{line:<40} # {about}" if about else line for line, about in zip(lines, KEYS.values(), strict=True)]
    write_text(option_file(folder, name), head + "\n".join(lines) + "\n")


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
