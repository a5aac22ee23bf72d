"""Where the yaml files lie."""

from __future__ import annotations

from pathlib import Path


def conf_dir() -> Path:
    """Return the folder of the yaml files: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"
