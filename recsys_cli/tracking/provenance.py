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

from recsys_cli import __version__
from recsys_cli.config.errors import ConfigError

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


def of_another_version(file: Path, about: Any, error: ConfigError) -> ConfigError:
    """Return the error for a stored config that this version does not take, which is not the fault of who names it.

    Args:
        file: holds the config.
        about: what is kept beside it; its `versions` say what wrote it.
        error: why it was refused.
    """
    wrote = written_by(about)
    other = f", or use recsys-cli {wrote}" if wrote[0].isdigit() and wrote != __version__ else ""
    return ConfigError(
        f"{file}, written by recsys-cli {wrote}, does not fit this recsys-cli {__version__}: {str(error).rstrip('.')}. "
        f"Train it again{other}"
    )


def written_by(about: Any) -> str:
    """Return the version of recsys-cli among the `versions` of a run or checkpoint; `of unknown version` without."""
    found = about.get("versions") if isinstance(about, dict) else None
    return str((found.get("recsys-cli") if isinstance(found, dict) else None) or "of unknown version")


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
