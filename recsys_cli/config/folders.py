"""The user's own folders: yamls in the layout of `conf`, and the modules they name.

They are given by `--config-dir <folder>` or by the environment variable RECSYS_CONFIG_PATH, through which child
processes know them too. A `_target_` outside this package is imported from these folders only, so a foreign checkpoint
can import nothing but what the user has put there.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.paths import show_path

VARIABLE = "RECSYS_CONFIG_PATH"
ORIGIN = "RECSYS_CONFIG_ORIGIN"  # in cluster processes that use copies: the user's original folders
OPTION = "--config-dir"


def named() -> list[Path]:
    """Return the folders in use, absolute, in the order named."""
    words = os.environ.get(VARIABLE, "").split(os.pathsep)
    return list(dict.fromkeys(Path(word).expanduser().resolve() for word in words if word))


def origins() -> list[str]:
    """Return the user's original folders, also in a process that uses copies of them."""
    originals = os.environ.get(ORIGIN, "")
    return originals.split(os.pathsep) if originals else [str(folder) for folder in named()]


def shipped_environment(copies: Sequence[str]) -> dict[str, str]:
    """Return the environment variables that name copies of the folders in use, and their originals."""
    if not copies:
        return {}
    return {VARIABLE: os.pathsep.join(copies), ORIGIN: os.pathsep.join(map(str, named()))}


def option_words(relative: bool = False) -> list[str]:
    """Return the options that name the folders in use: `["--config-dir", "/home/me/my_simulator"]`."""
    return [word for folder in named() for word in (OPTION, show_path(folder) if relative else str(folder))]


@contextmanager
def using(folders: Sequence[str]) -> Iterator[None]:
    """Use these folders, after those of RECSYS_CONFIG_PATH, until the block ends.

    Raises:
        ConfigError: a folder, named either way, that is missing or cannot be used.
    """
    inherited, before = os.environ.get(VARIABLE), named()
    for folder in folders:
        _check(f"{OPTION} {folder}".rstrip(), folder)
    for path in before:
        _check(f"{VARIABLE}={inherited}", str(path))
    paths = dict.fromkeys([*before, *(Path(folder).expanduser().resolve() for folder in folders)])
    try:
        if paths:
            os.environ[VARIABLE] = os.pathsep.join(map(str, paths))
        yield
    finally:
        forget([path for path in paths if path not in before])
        if inherited is not None:
            os.environ[VARIABLE] = inherited
        else:
            os.environ.pop(VARIABLE, None)


def _check(asked: str, folder: str) -> None:
    path = Path(folder).expanduser()
    if not folder:
        raise ConfigError(f"{asked}: a folder is expected, as in {OPTION} my_simulator")
    if not path.is_dir():
        raise ConfigError(f"{asked}: there is no folder {folder}")
    if os.pathsep in str(path.resolve()):
        raise ConfigError(f"{asked}: a folder with {os.pathsep!r} in its path cannot be used")
    for module in [*path.glob("*.py"), *(file.parent for file in path.glob("*/__init__.py"))]:
        if module.stem in sys.stdlib_module_names:  # Ray's processes would not even start
            raise ConfigError(f"{asked}: {module.name} would hide Python's own module {module.stem}: rename it")


def forget(folders: Sequence[Path]) -> None:
    """Unload modules imported from these folders and stop importing from them: a process may use several in turn."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and any(Path(file).is_relative_to(folder) for folder in folders):
            del sys.modules[name]
    sys.path[:] = [entry for entry in sys.path if entry not in set(map(str, folders))]


def module_file(module: str) -> Path | None:
    """Return the file of a dotted module in the folders in use, None if they have none."""
    if not all(part.isidentifier() for part in module.split(".")):
        return None
    for folder in named():
        path = folder.joinpath(*module.split("."))
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file
    return None


def make_importable() -> None:
    """Put the folders in use first on Python's module path."""
    for folder in reversed(named()):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    importlib.invalidate_caches()


def environment(python_path: str | None) -> dict[str, str]:
    """Return the environment variables with which another process finds the folders in use and their modules.

    Args:
        python_path: the process's own PYTHONPATH, kept after them.
    """
    folders = [str(folder) for folder in named()]
    if not folders:
        return {}
    rest = [python_path] if python_path else []
    return {VARIABLE: os.pathsep.join(folders), "PYTHONPATH": os.pathsep.join([*folders, *rest])}


@contextmanager
def handed_on() -> Iterator[None]:
    """Pass the folders in use to processes started in this block."""
    ours: Mapping[str, str] = environment(os.environ.get("PYTHONPATH"))
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
