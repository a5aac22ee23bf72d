"""Where a run came from: versions, git commit, and its config as flat parameters."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("recsys-cli", "ray", "torch", "recsim", "gymnasium", "numpy", "safetensors", "mlflow")
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages a result depends on, without importing them."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def git_commit(cwd: Path) -> str | None:
    """Return the commit checked out in `cwd`, with `-dirty` if tracked files differ from it.

    None outside a repository, before its first commit, or without git.
    """
    commit = _git(cwd, "rev-parse", "--verify", "HEAD")
    if commit is None:
        return None
    changes = _git(cwd, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}-dirty" if changes else commit


def _git(cwd: Path, *arguments: str) -> str | None:
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}  # status must not touch the user's index
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, str | int | float]:
    """Return nested config as dotted keys; lists as JSON, None and booleans as in YAML, credentials in URLs masked."""
    flat: dict[str, str | int | float] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{name}."))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            flat[name] = value
        elif isinstance(value, str):
            flat[name] = mask(value)
        else:
            flat[name] = mask(json.dumps(value, default=str))
    return flat


def mask(text: str) -> str:
    """Hide `user:password@` in the addresses in a text."""
    return _CREDENTIALS.sub("***@", text)
