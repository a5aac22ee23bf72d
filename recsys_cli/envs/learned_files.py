"""A learned model on disk: one safetensors file whose header holds all that is not an array. Nothing is executed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recsys_cli.config import folders
from recsys_cli.config.errors import ConfigError, one_line
from recsys_cli.config.own_classes import NotInFoldersError
from recsys_cli.config.paths import show_path
from recsys_cli.envs import learned_laws as laws
from recsys_cli.envs.learned_session import Basis
from recsys_cli.envs.spec import ChoiceSpec, ProblemSpec

FORMAT: Final = "1"
ITEMS = "spec.items"
DIGEST = 16  # hexadecimal digits of the SHA-256 kept in the yaml


@dataclass(frozen=True)
class Model:
    """A simulator learned from a log.

    Attributes:
        spec: the problem, as the log knows it.
        knots: of the hinges in `match`, `[H]`.
        centre: mean features of a document, `[F]`.
        choice: which document is clicked.
        fields: the other response fields, those of shown documents first.
        reward: of a step.
        ending: of a session.
        drift: of the user's features; None: they do not change.
        start: users' first states.
        offers: candidates.
    """

    spec: ProblemSpec
    knots: NDArray[np.float64]
    centre: NDArray[np.float64]
    choice: laws.Choice
    fields: tuple[laws.Field, ...]
    reward: laws.Reward
    ending: laws.Ending
    drift: laws.Drift | None
    start: laws.Start
    offers: laws.Offers

    @property
    def basis(self) -> Basis:
        """The features that its laws are functions of."""
        return Basis(self.spec, self.knots, self.centre)


_CLASSES: dict[str, Any] = {
    each.__name__: each
    for each in (
        *(laws.Linear, laws.Choice, laws.Amount, laws.Field, laws.Reward, laws.Ending, laws.TopicDrift),
        *(laws.LinearDrift, laws.Start, laws.Offers, ChoiceSpec),
    )
}


def save(model: Model, path: Path) -> str:
    """Write a model and return its digest."""
    from safetensors.numpy import save_file

    tensors: dict[str, NDArray[Any]] = {}
    names = [field.name for field in dataclasses.fields(model) if field.name != "spec"]
    parts = {name: _packed(getattr(model, name), name, tensors) for name in names}
    if model.spec.documents.items is not None:
        tensors[ITEMS] = model.spec.documents.items
    header = {"format": FORMAT, "spec": json.dumps(model.spec.to_dict()), "model": json.dumps(parts)}
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, path, metadata=header)
    return digest(path)


def digest(path: Path) -> str:
    """Return the first digits of a file's SHA-256, after a word that keeps yaml from reading a number."""
    with path.open("rb") as file:
        return f"sha256-{hashlib.file_digest(file, 'sha256').hexdigest()[:DIGEST]}"


def locate(tensors: str, env: str) -> Path:
    """Return the file of an env's model: absolute, or in the `env` folder of a folder in use.

    Raises:
        NotInFoldersError: it is nowhere.
    """
    path = Path(tensors).expanduser()
    places = [path] if path.is_absolute() else [folder / "env" / path for folder in folders.named()]
    for place in places:
        if place.is_file():
            return place
    raise NotInFoldersError(
        f"env.tensors={tensors}: env={env} was learned from a log, and its file is in none of the folders in use: name "
        f"the one whose env/ holds it with {folders.OPTION} <folder> or {folders.VARIABLE}=<folder>"
    )


def read(path: Path, expected: str) -> Model:
    """Read a model, or return it again if the file was not touched since.

    Args:
        path: of the file.
        expected: its digest.

    Raises:
        ConfigError: it is another file, damaged, or of another format.
    """
    return _read(path, expected, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _read(path: Path, expected: str, changed: int) -> Model:
    from safetensors import SafetensorError, safe_open

    if digest(path) != expected:
        raise ConfigError(
            f"env.digest={expected}: {show_path(path)} is {digest(path)}: it was fitted again, or is damaged"
        )
    try:
        with safe_open(path, "np") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        if header.get("format") != FORMAT:
            raise ConfigError(f"{show_path(path)} has format {header.get('format')}; this version reads {FORMAT}")
        spec = ProblemSpec.from_dict(json.loads(header["spec"]), items=tensors.get(ITEMS))
        parts = {name: _unpacked(part, tensors) for name, part in json.loads(header["model"]).items()}
        return Model(spec=spec, **parts)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{show_path(path)} is not a learned simulator: {one_line(error)}") from None


def _packed(value: Any, name: str, tensors: dict[str, NDArray[Any]]) -> Any:
    if isinstance(value, np.ndarray):
        tensors[name] = value
        return {"array": name}
    if isinstance(value, tuple):
        return [_packed(item, f"{name}.{i}", tensors) for i, item in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        named = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {"is": type(value).__name__} | {
            key: _packed(item, f"{name}.{key}", tensors) for key, item in named.items()
        }
    return value


def _unpacked(value: Any, tensors: dict[str, NDArray[Any]]) -> Any:
    if isinstance(value, list):
        return tuple(_unpacked(item, tensors) for item in value)
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return tensors[value["array"]]
    return _CLASSES[value["is"]](**{key: _unpacked(item, tensors) for key, item in value.items() if key != "is"})
