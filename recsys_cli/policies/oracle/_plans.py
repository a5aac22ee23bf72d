"""Plans that took seconds to find, kept on disk: one file for each problem, seed and version of what computed it.

They are in `recsys-cli/plans` of the user's cache folder, or in `plans` of `$RECSYS_CACHE_DIR`. Whatever is missing,
damaged or of another problem is planned again, and a folder that cannot be written to keeps nothing: a cache is never
an error.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

FORMAT = 2  # to be raised when a plan's meaning, or the way it is found, changes
VARIABLE = "RECSYS_CACHE_DIR"

Arrays = Mapping[str, NDArray[Any]]


def folder() -> Path:
    """Return the folder of the plans.

    Raises:
        RuntimeError: the user has no home.
    """
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser() / "plans"
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        named = os.environ.get("XDG_CACHE_HOME", "")
        base = Path(named) if Path(named).is_absolute() else Path.home() / ".cache"
    return base / "recsys-cli" / "plans"


def key(problem: Any, seed: int) -> str:
    """Return all that a plan depends on; other versions of NumPy or PyTorch may round differently.

    Args:
        problem: an `EnvConfig`.
        seed: of the simulations.
    """
    return repr((FORMAT, np.__version__, torch.__version__, type(problem).__module__, problem, seed))


def read(key: str) -> Arrays | None:
    """Return the kept plan, if there is a sound one."""
    try:
        with np.load(_file(key), allow_pickle=False) as kept:
            arrays = {name: kept[name] for name in kept.files}
    except Exception:  # whatever is wrong with the file, its plan can be found again
        return None
    plan = {name: values for name, values in arrays.items() if name != "key"}
    sound = all(values.dtype == np.float64 and np.isfinite(values).all() for values in plan.values())
    return plan if sound and str(arrays.get("key")) == key else None


def keep(key: str, plan: Arrays) -> None:
    """Keep a plan if that is possible: whole or not at all."""
    with contextlib.suppress(OSError, RuntimeError):
        file = _file(key)
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(suffix=".tmp", dir=file.parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                np.savez(stream, key=np.array(key), **plan)  # type: ignore[arg-type]  # a name may be any but `file`
            Path(temporary).replace(file)
        finally:
            Path(temporary).unlink(missing_ok=True)


def _file(key: str) -> Path:
    return folder() / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npz"
