"""Training state on disk without pickle: nested dicts and lists as JSON, their arrays in one npz file beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from recsys_cli.config.errors import ConfigError

TREE, ARRAYS = "state.json", "state.npz"
ARRAY_KEY = "__array__"


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write `state` into `folder` (made if missing).

    Args:
        folder: target.
        state: dicts with string keys, lists, arrays, numbers, strings, None.

    Raises:
        TypeError: a value of another kind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    arrays: list[np.ndarray] = []
    tree = _without_arrays(state, arrays)
    np.savez(folder / ARRAYS, *arrays)
    (folder / TREE).write_text(json.dumps(tree))


def load_state(folder: Path) -> dict[str, Any]:
    """Return what `save_state` wrote.

    Raises:
        ConfigError: the folder holds no such state.
    """
    try:
        tree = json.loads((folder / TREE).read_text())
        with np.load(folder / ARRAYS, allow_pickle=False) as arrays:
            state: dict[str, Any] = _with_arrays(tree, arrays)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{folder} holds no training state that can be read ({error})") from None
    return state


def _without_arrays(value: Any, arrays: list[np.ndarray]) -> Any:
    if isinstance(value, dict):
        return {key: _without_arrays(item, arrays) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_arrays(item, arrays) for item in value]
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            raise TypeError(f"an array of {value.dtype} would be pickled")
        arrays.append(value)
        return {ARRAY_KEY: f"arr_{len(arrays) - 1}"}  # NumPy's own name
    return value.item() if isinstance(value, np.generic) else value


def _with_arrays(value: Any, arrays: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {ARRAY_KEY}:
            return arrays[value[ARRAY_KEY]]
        return {key: _with_arrays(item, arrays) for key, item in value.items()}
    return [_with_arrays(item, arrays) for item in value] if isinstance(value, list) else value
