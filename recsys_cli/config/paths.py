"""Where the yaml files are, and how paths are shown."""

from __future__ import annotations

from pathlib import Path


def conf_dir() -> Path:
    """Return the folder of the yaml files: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


def show_path(path: Path) -> str:
    """Return a path, relative to the working folder if it is below it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
