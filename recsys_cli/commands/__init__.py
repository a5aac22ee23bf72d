"""The commands: one module each, found by its file name.

A command module has `run(overrides) -> exit code` and a docstring that is its help: its first line in the overview, all
of it under `recsys <command> --help`, followed by the groups and keys of `conf/<command>.yaml`. Docstrings are read
from the source, since importing a command may take seconds.
"""

from __future__ import annotations

import ast
import importlib
import keyword
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any


def command_names() -> list[str]:
    """Return the commands: the modules of this folder (`import_` is `import`, `fit_simulator` is `fit-simulator`)."""
    return sorted(path.stem.strip("_").replace("_", "-") for path in Path(__file__).parent.glob("[a-z]*.py"))


def _module_name(command: str) -> str:
    name = command.replace("-", "_")
    return f"{name}_" if keyword.iskeyword(name) else name


@cache
def docstring(command: str) -> str:
    """Return a command's help text without importing the command."""
    source = Path(__file__).with_name(f"{_module_name(command)}.py").read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(source)) or ""


def summary(command: str) -> str:
    """Return the first line of a command's help text."""
    return docstring(command).partition("\n")[0]


def composer(command: str) -> Callable[[list[str]], Any]:
    """Return the function from overrides to a command's config: its own `composed`, or plain composition."""
    own: Callable[[list[str]], Any] | None = getattr(_module(command), "composed", None)
    if own is not None:
        return own
    from recsys_cli.config.compose import compose

    return partial(compose, command)


def _module(command: str) -> ModuleType:
    return importlib.import_module(f"recsys_cli.commands.{_module_name(command)}")


def load(command: str) -> Callable[[list[str]], int]:
    """Import a command and return its `run`."""
    run: Callable[[list[str]], int] = _module(command).run
    return run
