"""The user's own classes, imported from the named folders; any error in them is reported in one line."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recsys_cli.config import folders
from recsys_cli.config.errors import ConfigError, closest, one_line
from recsys_cli.config.paths import show_path

# Base classes of these groups' options; by name, since their modules import this package.
BASES = {"env": "recsys_cli.envs.base.EnvConfig", "algo": "recsys_cli.algos.base.AlgoConfig"}


class NotInFoldersError(ConfigError):
    """A module or file that an option names and that is in none of the folders in use."""


def import_class(target: str) -> type:
    """Import the dataclass that a `_target_` outside this package names.

    Raises:
        NotInFoldersError: no folder in use has the module; nothing is imported.
        ConfigError: the module or the class is invalid.
    """
    module, _, name = target.rpartition(".")
    file = folders.module_file(module)
    if file is None:
        holder = f", and none of these has the module {module!r}: name the one that does" if module else ": name it"
        raise NotInFoldersError(
            f"_target_={target} is not imported: it must name a class under 'recsys_cli.' or in a folder of your own"
            f"{holder} with {folders.OPTION} <folder> or {folders.VARIABLE}=<folder>"
        )
    shown = show_path(file)
    with reported_in_one_line(shown):
        found = getattr(_import(module, file), name, None)
    if found is None:
        classes = [key for key, value in vars(sys.modules[module]).items() if isinstance(value, type)]
        raise ConfigError(f"_target_={target}: {shown} has no class {name}.{closest(name, classes)}")
    if not isinstance(found, type) or "__dataclass_fields__" not in vars(found):  # a base's would be inherited
        raise ConfigError(f"_target_={target} is not a dataclass: decorate it with @dataclass in {shown}")
    if is_own(found) and folders.module_file(found.__module__) is None:
        raise ConfigError(f"_target_={target} comes from {found.__module__}, which is not in a folder of your own")
    return found


def _import(module: str, file: Path) -> Any:
    """Import a module and check that it is this file, not another of the same name."""
    folders.make_importable()
    for name in (module.partition(".")[0], module):
        loaded = getattr(sys.modules.get(name), "__file__", None)
        own = folders.module_file(name)
        if loaded is not None and (own is None or own.resolve() != Path(loaded).resolve()):
            raise ConfigError(f"{show_path(file)}: there is another module {name!r}, {loaded}: rename yours")
    return importlib.import_module(module)


def check_base(schema: type, group: str) -> None:
    """Refuse a class that the group cannot use.

    Raises:
        ConfigError: it does not derive from the group's base class, or lacks its abstract methods.
    """
    if group not in BASES:
        return
    module, _, name = BASES[group].rpartition(".")
    where = f"{schema.__module__}.{schema.__qualname__}"
    if not issubclass(schema, getattr(importlib.import_module(module), name)):
        raise ConfigError(f"{group}._target_={where} does not derive from {BASES[group]}")
    missing = sorted(getattr(schema, "__abstractmethods__", ()))
    if missing:
        raise ConfigError(f"{group}._target_={where} lacks {', '.join(missing)}, required by {BASES[group]}")


@contextmanager
def reported_in_one_line(where: str) -> Iterator[None]:
    """Turn any exception of the user's own code into a `ConfigError` with file, line and reason."""
    try:
        yield
    except ConfigError:
        raise
    except SyntaxError as error:
        file = show_path(Path(error.filename)) if error.filename else where
        raise ConfigError(f"{file}, line {error.lineno}: {error.msg}") from None
    except Exception as error:
        own = [f for f in traceback.extract_tb(error.__traceback__) if _is_own(f.filename)]
        at = f"{show_path(Path(own[-1].filename))}, line {own[-1].lineno}" if own else where
        if isinstance(error, ModuleNotFoundError):
            raise ConfigError(f"{at}: module {error.name!r} is not installed here") from error
        raise ConfigError(f"{at}: {type(error).__name__}: {one_line(error)}") from error


def _is_own(file: str) -> bool:
    return any(Path(file).is_relative_to(folder) for folder in folders.named())


@contextmanager
def remembering(config_path: Sequence[str] | None) -> Iterator[None]:
    """Add to the error for a missing module or file which folders its run was trained with.

    Args:
        config_path: as kept in the run or the checkpoint.
    """
    try:
        yield
    except NotInFoldersError as error:
        options = " ".join(f"{folders.OPTION} {folder}" for folder in config_path or ())
        raise ConfigError(f"{error}{options and f' (trained with {options})'}") from None


def is_own(schema: type) -> bool:
    """Whether a class is the user's own."""
    return not schema.__module__.startswith("recsys_cli.")
