"""The checkpoint bundle: all that evaluating or serving a policy needs, without pickle.

    recsys.yaml          format, resolved config, problem's spec, info (steps, seed, versions, ...)
    policy.safetensors   the policy's tensors (an empty set for policies that have none), the problem's items, and the
                         profile of the log it was trained on
    training_state/      RLlib's own state, only for resuming; never read here

`recsys.yaml` is written last and carries the SHA-256 of the tensors, so that a folder with a readable `recsys.yaml`
and a matching `policy.safetensors` is whole.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from recsys_cli import __version__
from recsys_cli.config.errors import ConfigError, closest, one_line
from recsys_cli.envs.finite import first_not_finite, is_finite
from recsys_cli.envs.profile import Profile
from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.files import atomic_dir, write_text
from recsys_cli.tracking.provenance import written_by

if TYPE_CHECKING:
    import torch

FORMAT = 2
MANIFEST = "recsys.yaml"
TENSORS = "policy.safetensors"
TRAINING_STATE = "training_state"
KEYS = ("format", "config", "spec", "info", "policy_sha256")  # of the manifest
INFO: dict[str, Any] = {"steps": int, "config_path": list | None, "versions": dict, "metrics": dict}  # read again
VERSION_DIGITS = 12
# Among the tensors:
ITEMS = "problem.items"  # features of the items that document numbers stand for
PROFILE = "problem.profile"  # what features looked like in the log (`envs.profile`)


@dataclass(frozen=True)
class Bundle:
    """A bundle as read from disk.

    Attributes:
        path: its folder.
        config: the resolved config of the training.
        spec: the problem as the policy knows it.
        info: steps, seed, versions, command and so on.
        tensors: the policy's tensors by name, with the dtypes and shapes they had.
        profile: what features looked like in the log of the training; None if it was played.
    """

    path: Path
    config: dict[str, Any]
    spec: ProblemSpec
    info: dict[str, Any]
    tensors: dict[str, np.ndarray]
    profile: Profile | None = None

    @property
    def training_state(self) -> Path | None:
        """The folder of RLlib's state for resuming, or None if the bundle has none."""
        folder = self.path / TRAINING_STATE
        return folder if folder.is_dir() else None


def write_bundle(
    folder: Path,
    *,
    config: Mapping[str, Any],
    spec: ProblemSpec,
    policy_state: Mapping[str, np.ndarray | torch.Tensor],
    info: Mapping[str, Any],
    profile: Profile | None = None,
) -> None:
    """Write `recsys.yaml` and `policy.safetensors` into `folder` (made if missing).

    Write inside `files.atomic_dir` when other files belong to the same checkpoint.

    Raises:
        TypeError: a value that safe YAML or safetensors cannot hold.
        FloatingPointError: a tensor that is not finite: nobody can act by it.
    """
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    parts = {"config": config, "spec": spec.to_dict(), "info": info}
    manifest = {"format": FORMAT, **{name: plain(part, name) for name, part in parts.items()}}
    tensors = {name: _array(name, value) for name, value in policy_state.items()}
    if spec.documents.items is not None:
        tensors[ITEMS] = spec.documents.items
    if profile is not None:
        tensors[PROFILE] = profile.packed()
    if (bad := _not_finite(tensors)) is not None:
        raise FloatingPointError(f"the policy has diverged: {bad}; no checkpoint was written")
    save_file(tensors, folder / TENSORS)
    manifest["policy_sha256"] = _digest(folder / TENSORS)
    write_text(folder / MANIFEST, yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True))


def copy_bundle(source: Path, target: Path) -> None:
    """Copy all of a bundle but the training's state, atomically."""
    with atomic_dir(target) as temporary:
        for name in (TENSORS, MANIFEST):
            shutil.copyfile(source / name, temporary / name)


def is_bundle(folder: Path) -> bool:
    """Return whether `folder` holds a bundle's files (`read_bundle` checks that they are valid)."""
    return (folder / MANIFEST).is_file() and (folder / TENSORS).is_file()


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle with safe YAML and safetensors only.

    Raises:
        ConfigError: no bundle, a damaged one, one with tensors that are not finite, or one of another format.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    manifest = _read_manifest(folder)
    tensors_path = folder / TENSORS
    if not tensors_path.is_file():
        raise ConfigError(f"checkpoint {folder} is damaged: {TENSORS} is missing")
    if _digest(tensors_path) != manifest["policy_sha256"]:
        raise ConfigError(f"checkpoint {folder} is damaged: {TENSORS} is not the file that {MANIFEST} was written with")
    try:
        tensors = load_file(tensors_path)
    except (SafetensorError, TypeError, KeyError, ValueError, AttributeError, OSError) as error:
        raise ConfigError(f"checkpoint {folder} is damaged: {TENSORS}: {one_line(error)}") from None
    if (bad := _not_finite(tensors)) is not None:
        raise ConfigError(f"checkpoint {folder} is of a policy that diverged, or damaged: {TENSORS}: {bad}")
    try:
        spec = ProblemSpec.from_dict(manifest["spec"], items=tensors.pop(ITEMS, None))
    except ConfigError as error:
        raise ConfigError(f"checkpoint {folder} is damaged: {MANIFEST}: {error}") from None
    try:
        packed = tensors.pop(PROFILE, None)
        profile = None if packed is None else Profile.unpacked(packed, spec)
    except ValueError as error:
        raise ConfigError(f"checkpoint {folder} is damaged: {TENSORS}: {error}") from None
    parts = {name: manifest[name] for name in ("config", "info")}
    return Bundle(path=folder, spec=spec, tensors=tensors, profile=profile, **parts)


def version_of(folder: Path) -> str:
    """Return the first digits of the hash of a bundle's manifest, which covers the tensors'."""
    return _digest(folder / MANIFEST)[:VERSION_DIGITS]


def plain(value: Any, name: str = "value") -> Any:
    """Turn numpy scalars and arrays, tuples, paths and enums into types that safe YAML and JSON can hold."""
    if value is None or (isinstance(value, bool | int | float | str) and not isinstance(value, np.generic | Enum)):
        return value
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist(), name)
    if isinstance(value, Enum):
        return plain(value.value, name)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item, f"{name}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
        return [plain(item, f"{name}[{index}]") for index, item in enumerate(items)]
    raise TypeError(f"{name}: a {type(value).__name__} cannot be kept in {MANIFEST}")


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise ConfigError(f"{folder} is not a checkpoint: it has no {MANIFEST}")
    try:
        manifest = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError, OSError) as error:
        raise ConfigError(f"checkpoint {folder} is damaged: {MANIFEST}: {one_line(error)}") from None
    _check_format(path, manifest)
    for key in manifest:
        if key not in KEYS:
            raise ConfigError(f"checkpoint {folder} is damaged: {MANIFEST}: {key} is unknown.{closest(str(key), KEYS)}")
    for key in KEYS[1:]:
        if not isinstance(manifest.get(key), str if key == "policy_sha256" else dict):
            raise ConfigError(f"checkpoint {folder} is damaged: {MANIFEST} has no {key!r}")
    for key, value in manifest["info"].items():
        if isinstance(value, bool) or not isinstance(value, INFO.get(key, object)):
            raise ConfigError(f"checkpoint {folder} is damaged: {MANIFEST}: info.{key}={value}")
    return manifest


def _check_format(path: Path, manifest: Any) -> None:
    version = manifest.get("format") if isinstance(manifest, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ConfigError(f"checkpoint {path.parent} is damaged: {MANIFEST} has no format number")
    if version != FORMAT:
        advice = "upgrade recsys-cli" if version > FORMAT else "train it again, or use that version"
        raise ConfigError(
            f"{path} has format {version}, written by recsys-cli {written_by(manifest.get('info'))}; "
            f"this recsys-cli {__version__} reads format {FORMAT}: {advice}"
        )


def _not_finite(tensors: Mapping[str, np.ndarray]) -> str | None:
    """Return the first tensor that is not finite, with place and value."""
    for name, tensor in tensors.items():
        if not is_finite(tensor):
            at = first_not_finite(tensor)
            return f"{name}{list(at)} is {tensor[at]}"
    return None


def _array(name: str, value: np.ndarray | torch.Tensor) -> np.ndarray:
    """Return a C-ordered array: safetensors stores the raw memory, so other orders would come back scrambled."""
    if hasattr(value, "detach"):
        try:
            value = value.detach().cpu().numpy()
        except TypeError:  # bfloat16 and float8 have no NumPy type
            raise TypeError(f"policy tensor {name!r}: NumPy has no {value.dtype}; turn it into float32") from None
    array = np.asarray(value, order="C")
    if array.dtype.kind not in "biufc":
        raise TypeError(f"policy tensor {name!r}: dtype {array.dtype} is not numeric")
    return array


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
