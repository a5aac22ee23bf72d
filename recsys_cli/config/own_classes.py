"""Classes of the user's own, out of the folders that were named; whatever is wrong with them is told in one line."""

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

# What an option of these groups derives from; by name, since these modules build on this package.
BASES = {"env": "recsys_cli.envs.base.EnvConfig", "algo": "recsys_cli.algos.base.AlgoConfig"}


class UnknownModuleError(ConfigError):
    """A `_target_` in a module that neither this package nor a folder in use holds."""


def import_class(target: str) -> type:
    """Import the dataclass that a `_target_` outside this package names.

    Raises:
        UnknownModuleError: no folder in use holds the module, which is then not imported.
        ConfigError: the module or the class is not what it must be.
    """
    module, _, name = target.rpartition(".")
    file = folders.module_file(module)
    if file is None:
        holder = f", and none of these holds the module {module!r}: name the one that does" if module else ": name it"
        raise UnknownModuleError(
            f"_target_={target} is not followed: it must name a class under 'recsys_cli.' or in a folder of your own"
            f"{holder} by {folders.OPTION} <folder> or {folders.VARIABLE}=<folder>"
        )
    shown = show_path(file)
    with told_in_one_line(shown):
        found = getattr(_import(module, file), name, None)
    if found is None:
        classes = [key for key, value in vars(sys.modules[module]).items() if isinstance(value, type)]
        raise ConfigError(f"_target_={target}: {shown} has no class {name}.{closest(name, classes)}")
    if not isinstance(found, type) or "__dataclass_fields__" not in vars(found):  # a base's would be inherited
        raise ConfigError(f"_target_={target} is not a dataclass: decorate it with @dataclass in {shown}")
    if is_own(found) and folders.module_file(found.__module__) is None:
        raise ConfigError(f"_target_={target} comes from {found.__module__}, which is in no folder of your own")
    return found


def _import(module: str, file: Path) -> Any:
    """Import a module and make sure that it is this file and not another of the same name."""
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
        ConfigError: it does not derive from the group's base class, or leaves out what that asks for.
    """
    if group not in BASES:
        return
    module, _, name = BASES[group].rpartition(".")
    where = f"{schema.__module__}.{schema.__qualname__}"
    if not issubclass(schema, getattr(importlib.import_module(module), name)):
        raise ConfigError(f"{group}._target_={where} does not derive from {BASES[group]}")
    missing = sorted(getattr(schema, "__abstractmethods__", ()))
    if missing:
        raise ConfigError(f"{group}._target_={where} lacks {', '.join(missing)}; {BASES[group]} says what they return")


@contextmanager
def told_in_one_line(where: str) -> Iterator[None]:
    """Turn whatever the user's own code raises into a `ConfigError` that names file, line and reason."""
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
    """Say of a module that is not here which folders its run was trained with.

    Args:
        config_path: as the run or the checkpoint keeps it.
    """
    try:
        yield
    except UnknownModuleError as error:
        told = " ".join(f"{folders.OPTION} {folder}" for folder in config_path or ())
        raise ConfigError(f"{error}{told and f' (trained with {told})'}") from None


def is_own(schema: type) -> bool:
    """Whether a class is the user's own."""
    return not schema.__module__.startswith("recsys_cli.")
